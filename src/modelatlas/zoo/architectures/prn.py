"""PRN, the position map regression network for faces (Feng et al., ECCV 2018).

An encoder of ten residual blocks of 4 x 4 convolutions and a decoder of seventeen transposed ones, all SAME
and without biases; batch norm (epsilon 1e-3) comes after the sum of a block, not before. Positions are the
output times 281.6 (1.1 times 256 pixels).
"""

from typing import Final

from torch import Tensor, nn

from modelatlas.zoo.architectures.same import SameConv2d
from modelatlas.zoo.architectures.same_transposed import SameConvTranspose2d
from modelatlas.zoo.checkpoints import NameTable, Slot, normed

__all__ = ["PRN", "prn_names"]

_EPSILON: Final = 1e-3
_STEM: Final = 16
_BLOCKS: Final = (
    32,
    32,
    64,
    64,
    128,
    128,
    256,
    256,
    512,
    512,
)  # every other shrinks, beginning with the first
_DECODER: Final = (  # channels, stride
    (512, 1), (256, 2), (256, 1), (256, 1), (128, 2), (128, 1), (128, 1), (64, 2), (64, 1), (64, 1),
    (32, 2), (32, 1), (16, 2), (16, 1), (3, 1), (3, 1), (3, 1),
)  # fmt: skip


class Normed(nn.Module):
    """A convolution without bias, batch norm, an activation."""

    def __init__(self, conv: nn.Module, channels: int, act: nn.Module) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm2d(channels, eps=_EPSILON)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))  # type: ignore[no-any-return]


class ResBlock(nn.Module):
    """1 x 1 to half the channels, 4 x 4, 1 x 1; the shortcut; batch norm and ReLU of the sum."""

    def __init__(self, channels_in: int, channels: int, *, stride: int) -> None:
        super().__init__()
        half = channels // 2
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1:
            self.shortcut = SameConv2d(channels_in, channels, 1, stride=stride, bias=False)
        self.first = Normed(SameConv2d(channels_in, half, 1, bias=False), half, nn.ReLU())
        self.second = Normed(SameConv2d(half, half, 4, stride=stride, bias=False), half, nn.ReLU())
        self.third = SameConv2d(half, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels, eps=_EPSILON)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.third(self.second(self.first(x))) + self.shortcut(x)))  # type: ignore[no-any-return]


class PRN(nn.Module):
    """[N, 3, 256, 256], 0 to 1 -> positions [N, 3, 256, 256], 0 to 1; `ResBlock10` is [N, 512, 8, 8]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Normed(SameConv2d(3, _STEM, 4, bias=False), _STEM, nn.ReLU())
        width = _STEM
        for number, channels in enumerate(_BLOCKS, start=1):
            block = ResBlock(width, channels, stride=1 + number % 2)
            self.add_module(f"ResBlock{number}", block)
            width = channels
        self.decoder = nn.Sequential()
        for number, (channels, stride) in enumerate(_DECODER, start=1):
            conv = SameConvTranspose2d(width, channels, 4, stride=stride, bias=False)
            act = nn.Sigmoid() if number == len(_DECODER) else nn.ReLU()
            self.decoder.append(Normed(conv, channels, act))
            width = channels

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        x = self.stem(images)
        for number in range(1, len(_BLOCKS) + 1):
            x = self.get_submodule(f"ResBlock{number}")(x)
        return self.decoder(x)  # type: ignore[no-any-return]


def prn_names() -> NameTable:
    """Names in the authors' checkpoint, below `resfcn256/`."""
    slots = _normed_slots("stem", "Conv")
    for index in range(len(_BLOCKS)):
        ours, theirs = f"ResBlock{index + 1}", f"resBlock_{index}" if index else "resBlock"
        if index % 2 == 0:
            slots[f"{ours}.shortcut.weight"] = Slot(f"{theirs}/shortcut/weights", "HWIO")
        slots |= _normed_slots(f"{ours}.first", f"{theirs}/Conv")
        slots |= _normed_slots(f"{ours}.second", f"{theirs}/Conv_1")
        slots[f"{ours}.third.weight"] = Slot(f"{theirs}/Conv_2/weights", "HWIO")
        slots |= normed(f"{ours}.norm", theirs)
    for index in range(len(_DECODER)):
        slots |= _normed_slots(
            f"decoder.{index}", f"Conv2d_transpose_{index}" if index else "Conv2d_transpose"
        )
    return NameTable(slots=slots, anchor="resBlock_9/BatchNorm/gamma")


def _normed_slots(module: str, scope: str) -> dict[str, Slot]:
    return {f"{module}.conv.weight": Slot(f"{scope}/weights", "HWIO")} | normed(f"{module}.norm", scope)
