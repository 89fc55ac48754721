"""Networks for pages and text, of the PaddlePaddle family, read from the ONNX files of three packages.

PP-OCRv4 text detection (differentiable binarisation, Liao et al. 2020, on PP-LCNetV3), page layout
(PicoDet, Yu et al. 2021) and page orientation (PP-LCNet, Cui et al. 2021). Each is cut before its last
sigmoid, softmax or reshaping: these saturate, or fix the batch to one image.
"""

from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from modelatlas.zoo.onnx_graphs import OnnxGraph, read_graph

__all__ = ["page_layout", "page_orientation", "text_detection"]

_LAYOUT_HEADS: Final = ("conv2d_153.tmp_0", "conv2d_158.tmp_0", "conv2d_163.tmp_0", "conv2d_168.tmp_0")


class Orientation(nn.Module):
    """[N, 3, 224, 224] -> logits [N, 4] of a page turned by 0, 90, 180 and 270 degrees."""

    def __init__(self, graph: OnnxGraph, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.graph = graph
        self.classifier = nn.Linear(*weight.shape)
        self.classifier.load_state_dict({"weight": weight.T, "bias": bias})

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        return self.classifier(self.graph(images).flatten(1))  # type: ignore[no-any-return]


def text_detection(weights: Path) -> nn.Module:
    """Build the text detector: [N, 3, H, W], multiples of 32 -> logits of text [N, 1, H, W]."""
    return read_graph(weights, outputs=["p2o.Add.281"], model="package:text-detection")[0]


def page_layout(weights: Path) -> nn.Module:
    """Build the layout network.

    [N, 3, 800, 608] -> maps [N, 10 + 32, H/s, W/s] at strides s = 8, 16, 32, 64: 10 class logits, box sides.
    """
    return read_graph(weights, outputs=_LAYOUT_HEADS, model="package:page-layout")[0]


def page_orientation(weights: Path) -> nn.Module:
    """Build the page-orientation network."""
    graph, arrays = read_graph(
        weights, outputs=["p2o.pd_op.hardswish.27.0"], model="package:page-orientation"
    )
    # dropout was exported as a factor 1 - p (Paddle's downgrade_in_infer): it goes into the weights
    scale = float(arrays["helper.constant.0"].reshape(-1)[0])
    weight = torch.tensor(arrays["linear_0.w_0_deepcopy_144"]) * scale
    return Orientation(graph, weight, torch.tensor(arrays["linear_0.b_0_deepcopy_145"]))
