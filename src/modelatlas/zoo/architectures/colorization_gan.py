"""The generator of "Image colorization using generative adversarial networks" (Nazeri, Ng, Ebrahimi 2018).

A U-net of 4 x 4 convolutions from one grey channel, 0 to 255, to Lab scaled to -1..1. The published code
norms with the statistics of the batch at all times; with one picture a batch, as it colours, that norms every
picture by itself, which is what is done here, so that pictures do not leak into one another. The checkpoint's
moving statistics are read by nothing.
"""

from typing import Final

import torch
from torch import Tensor, nn

from modelatlas.zoo.architectures.same import SameConv2d
from modelatlas.zoo.architectures.same_transposed import SameConvTranspose2d
from modelatlas.zoo.checkpoints import NameTable, Slot

__all__ = ["Colorization", "colorization_names"]

_EPSILON: Final = 1e-3
_ENCODER: Final = ((64, 1), (64, 2), (128, 2), (256, 2), (512, 2), (512, 2), (512, 2), (512, 2))
_DECODER: Final = (512, 512, 512, 256, 128, 64, 64)


class SelfNormed(nn.Module):
    """A convolution with bias, a norm over each picture's own channel, an activation."""

    def __init__(self, conv: nn.Module, channels: int, act: nn.Module) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.InstanceNorm2d(channels, eps=_EPSILON, affine=True)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))  # type: ignore[no-any-return]


class Colorization(nn.Module):
    """[N, 1, 256, 256], 0 to 255 -> Lab [N, 3, 256, 256], -1 to 1; `conv7` is the code, [N, 512, 2, 2]."""

    def __init__(self) -> None:
        super().__init__()
        width = 1
        for number, (channels, stride) in enumerate(_ENCODER):
            conv = SameConv2d(width, channels, 4, stride=stride)
            self.add_module(f"conv{number}", SelfNormed(conv, channels, nn.LeakyReLU(0.2)))
            width = channels
        for number, channels in enumerate(_DECODER):
            up = SameConvTranspose2d(width, channels, 4, stride=2)
            self.add_module(f"deconv{number}", SelfNormed(up, channels, nn.ReLU()))
            width = channels + _ENCODER[len(_ENCODER) - number - 2][0]
        self.conv_last = SameConv2d(width, 3, 1)

    def forward(self, grey: Tensor) -> Tensor:  # noqa: D102
        x, skips = grey, []
        for number in range(len(_ENCODER)):
            x = self.get_submodule(f"conv{number}")(x)
            skips.append(x)
        for number in range(len(_DECODER)):
            x = self.get_submodule(f"deconv{number}")(x)
            x = torch.cat((skips[len(skips) - number - 2], x), 1)
        return self.conv_last(x).tanh()  # type: ignore[no-any-return]


def colorization_names() -> NameTable:
    """Names in the authors' checkpoint, below `gen/`."""
    slots = _conv_slots("conv_last", "conv_last")
    names = [f"conv{number}" for number in range(len(_ENCODER))]
    for name in [*names, *(f"deconv{number}" for number in range(len(_DECODER)))]:
        slots |= _conv_slots(f"{name}.conv", name)
        slots |= {
            f"{name}.norm.weight": Slot(f"bn_{name}/gamma"),
            f"{name}.norm.bias": Slot(f"bn_{name}/beta"),
        }
    return NameTable(
        slots=slots,
        anchor="conv_last/kernel",
        unused=(r"(.*/)?dis/", r"(.*/)?bn_\w+/moving_(mean|variance)$"),
    )


def _conv_slots(module: str, scope: str) -> dict[str, Slot]:
    return {f"{module}.weight": Slot(f"{scope}/kernel", "HWIO"), f"{module}.bias": Slot(f"{scope}/bias")}
