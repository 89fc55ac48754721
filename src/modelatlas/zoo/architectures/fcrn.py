"""FCRN, depth from one picture by a ResNet-50 and up-projections (Laina et al., 3DV 2016).

The trunk is Caffe's ResNet-50 (its first convolution has a bias, epsilon 1e-4). An up-projection doubles the
picture by four small convolutions whose results are interleaved, twice side by side: one branch is convolved
again, the other is the shortcut.
"""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelatlas.zoo.architectures.bottleneck_resnet import ResNetPlan, ResNetTrunk
from modelatlas.zoo.architectures.caffe_names import caffe_slots
from modelatlas.zoo.checkpoints import NameTable, Slot

__all__ = ["FCRN", "fcrn_names"]

_PLAN: Final = ResNetPlan(units=(3, 4, 6, 3), strides=(2, 2, 2, 1), epsilon=1e-4)
_UP: Final = {"layer2x": 512, "layer4x": 256, "layer8x": 128, "layer16x": 64}
# kernel, and padding left, right, top, bottom; A lands on even rows and columns, B on odd rows, C on odd
# columns
_CORNERS: Final = {
    "A": ((3, 3), (1, 1, 1, 1)),
    "B": ((2, 3), (1, 1, 1, 0)),
    "C": ((3, 2), (1, 0, 1, 1)),
    "D": ((2, 2), (1, 0, 1, 0)),
}
_NORM: Final = {"weight": "scale", "bias": "offset", "running_mean": "mean", "running_var": "variance"}


class Unpool(nn.Module):
    """Doubling and convolution at once, and batch norm: [N, C, H, W] -> [N, channels_out, 2 H, 2 W]."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        for corner, (kernel, _) in _CORNERS.items():
            self.add_module(f"Conv{corner}", nn.Conv2d(channels_in, channels_out, kernel))
        self.BN = nn.BatchNorm2d(channels_out, eps=_PLAN.epsilon)

    def forward(self, x: Tensor) -> Tensor:
        a, b, c, d = (
            self.get_submodule(f"Conv{corner}")(F.pad(x, padding))
            for corner, (_, padding) in _CORNERS.items()
        )
        even, odd = (torch.stack(pair, 3).flatten(2, 3) for pair in ((a, b), (c, d)))
        return self.BN(torch.stack((even, odd), 4).flatten(3, 4))  # type: ignore[no-any-return]


class UpProjection(nn.Module):
    """Both branches, summed and rectified."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.br1 = Unpool(channels_in, channels_out)
        self.br2 = Unpool(channels_in, channels_out)
        self.Conv = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.BN = nn.BatchNorm2d(channels_out, eps=_PLAN.epsilon)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.BN(self.Conv(F.relu(self.br1(x)))) + self.br2(x))


class FCRN(nn.Module):
    """[N, 3, H, W], 0 to 255 -> depth [N, 1, H', W'] in metres; `layer1` is [N, 1024, H/32, W/32]."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = ResNetTrunk(_PLAN)
        self.trunk.conv1.conv = nn.Conv2d(3, 64, 7, stride=2, padding=3)  # with a bias, unlike TF-Slim's
        self.layer1 = nn.Conv2d(self.trunk.channels_out, 1024, 1)
        self.layer1_BN = nn.BatchNorm2d(1024, eps=_PLAN.epsilon)
        width = 1024
        for name, channels in _UP.items():
            self.add_module(name, UpProjection(width, channels))
            width = channels
        self.ConvPred = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        x = self.layer1_BN(self.layer1(self.trunk(images)))
        for name in _UP:
            x = self.get_submodule(name)(x)
        return F.relu(self.ConvPred(x))


def fcrn_names(network: FCRN) -> NameTable:
    """Names in the authors' checkpoint and `.npy` file, which have no scope."""
    slots = caffe_slots(
        network.trunk,
        "trunk.",
        unit=lambda block, number: f"{block + 1}{'abcdef'[number - 1]}",
        kernel=lambda conv: f"{conv}/weights",
        norm=lambda norm, array: f"{norm}/{_NORM[array]}",
    )
    slots["trunk.conv1.conv.bias"] = Slot("conv1/biases")
    slots |= _conv_slots("layer1", "layer1") | _norm_slots("layer1_BN", "layer1_BN")
    for name in _UP:
        for branch in ("br1", "br2"):
            for corner in _CORNERS:
                slots |= _conv_slots(f"{name}.{branch}.Conv{corner}", f"{name}_{branch}_Conv{corner}")
            slots |= _norm_slots(f"{name}.{branch}.BN", f"{name}_{branch}_BN")
        slots |= _conv_slots(f"{name}.Conv", f"{name}_Conv") | _norm_slots(f"{name}.BN", f"{name}_BN")
    slots |= _conv_slots("ConvPred", "ConvPred")
    return NameTable(slots=slots, anchor="layer1/weights")


def _conv_slots(module: str, scope: str) -> dict[str, Slot]:
    return {f"{module}.weight": Slot(f"{scope}/weights", "HWIO"), f"{module}.bias": Slot(f"{scope}/biases")}


def _norm_slots(module: str, scope: str) -> dict[str, Slot]:
    return {f"{module}.{ours}": Slot(f"{scope}/{theirs}") for ours, theirs in _NORM.items()}
