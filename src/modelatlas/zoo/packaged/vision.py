"""Networks of three packages that ship ONNX files: saliency, line segments, faces.

Saliency of a ViT-S/14 with a transposed-convolution decoder; M-LSD (Gu et al. 2022), line segments on a
MobileNetV2; BlazeFace (Bazarevsky et al. 2019), faces. Each is cut before its sigmoid, its suppression of
non-maxima, or the reshaping that fixes the batch to one image.
"""

from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from modelatlas.zoo.onnx_graphs import read_graph

__all__ = ["face_detection", "line_segments", "saliency"]

_FACE: Final = "StatefulPartitionedCall/functional_1/conv2d_{}/BiasAdd:0"


class ChannelsLast(nn.Module):
    """[N, 3, H, W] -> a graph that wants [N, H, W, 3], or four channels with an opaque one."""

    def __init__(self, graph: nn.Module, *, opaque: bool) -> None:
        super().__init__()
        self.graph = graph
        self._opaque = opaque

    def forward(self, images: Tensor) -> Any:
        """Whatever the graph returns."""
        if self._opaque:
            images = torch.cat([images, torch.ones_like(images[:, :1])], dim=1)
        return self.graph(images.permute(0, 2, 3, 1))


def saliency(weights: Path) -> nn.Module:
    """Build the saliency network: [N, 3, 224, 224] -> logits of importance [N, 1, 224, 224]."""
    return read_graph(weights, outputs=["/decoder/Resize_output_0"], model="package:saliency")[0]


def line_segments(weights: Path) -> nn.Module:
    """Build M-LSD: [N, 3, 512, 512] in 0..255 -> [N, 16, 256, 256]; 7: centres, 8 to 11: end points."""
    graph, _ = read_graph(weights, outputs=["Conv__384:0"], model="package:line-segments")
    return ChannelsLast(graph, opaque=True)


def face_detection(weights: Path) -> nn.Module:
    """Build BlazeFace: [N, 3, 256, 256] -> logits and boxes at 16 x 16 (2 anchors) and 8 x 8 (6 anchors)."""
    outputs = [_FACE.format(number) for number in (33, 34, 35, 36)]
    graph, _ = read_graph(weights, outputs=outputs, model="package:face-detection")
    return ChannelsLast(graph, opaque=False)
