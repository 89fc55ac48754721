"""The fully convolutional network of shekkizh/FCN.tensorflow, whose layer `conv8` the paper names.

VGG-19 with average pools, read before the last ReLU of its fifth block (`conv5_3`), then fc6 to fc8 of Long
et al. (CVPR 2015) as convolutions, all SAME: 7 x 7, 1 x 1, and 1 x 1 to the classes, `Conv8`. The scores are
enlarged over the fourth and the third pool. The checkpoint also holds `conv5_4`, which nothing reads.
"""

from typing import Final

from torch import Tensor, nn
from torch.nn import functional as F

from modelatlas.zoo.architectures.same import SameConv2d, SameMaxPool2d
from modelatlas.zoo.architectures.same_transposed import SameConvTranspose2d
from modelatlas.zoo.checkpoints import NameTable, Slot

__all__ = ["FCNVGG19", "fcn_names"]

_VGG19: Final = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 3))  # channels, convolutions
_HIDDEN: Final = 4096


class FCNVGG19(nn.Module):
    """[N, 3, H, W] less the mean colour -> class scores [N, classes, H, W]; H and W are multiples of 8."""

    def __init__(self, *, classes: int = 21) -> None:
        super().__init__()
        width = 3
        for block, (channels, depth) in enumerate(_VGG19, start=1):
            for number in range(1, depth + 1):
                self.add_module(f"conv{block}_{number}", SameConv2d(width, channels, 3))
                width = channels
        self.pool5 = SameMaxPool2d(2, stride=2)
        self.conv6 = SameConv2d(width, _HIDDEN, 7)
        self.conv7 = SameConv2d(_HIDDEN, _HIDDEN, 1)
        self.Conv8 = SameConv2d(_HIDDEN, classes, 1)
        self.enlarge4 = SameConvTranspose2d(classes, 512, 4, stride=2)
        self.enlarge3 = SameConvTranspose2d(512, 256, 4, stride=2)
        self.enlarge = SameConvTranspose2d(256, classes, 16, stride=8)

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        x, pooled = images, []
        for block, (_, depth) in enumerate(_VGG19, start=1):
            for number in range(1, depth + 1):
                x = self.get_submodule(f"conv{block}_{number}")(x)
                if (block, number) != (5, 3):
                    x = F.relu(x)
            if block < len(_VGG19):
                # a partial window at an odd edge is averaged over what is there, as SAME pools do
                x = F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)
                pooled.append(x)
        x = F.relu(self.conv7(F.relu(self.conv6(self.pool5(x)))))
        x = self.Conv8(x)
        x = self._enlarged(self.enlarge4, x, pooled[3]) + pooled[3]
        x = self._enlarged(self.enlarge3, x, pooled[2]) + pooled[2]
        return self._enlarged(self.enlarge, x, images)

    @staticmethod
    def _enlarged(layer: nn.Module, x: Tensor, like: Tensor) -> Tensor:
        height, width = like.shape[-2:]
        return layer(x)[..., :height, :width]  # type: ignore[no-any-return]


def fcn_names() -> NameTable:
    """Names in a checkpoint of that code, below `inference/`."""
    slots: dict[str, Slot] = {}
    for block, (_, depth) in enumerate(_VGG19, start=1):
        for number in range(1, depth + 1):
            name = f"conv{block}_{number}"
            slots |= {f"{name}.weight": Slot(f"{name}_w", "HWIO"), f"{name}.bias": Slot(f"{name}_b")}
    for ours, theirs in (
        ("conv6", "6"), ("conv7", "7"), ("Conv8", "8"),
        ("enlarge4", "_t1"), ("enlarge3", "_t2"), ("enlarge", "_t3"),
    ):  # fmt: skip
        slots |= {f"{ours}.weight": Slot(f"W{theirs}", "HWIO"), f"{ours}.bias": Slot(f"b{theirs}")}
    return NameTable(slots=slots, anchor="W8", unused=(r"(.*/)?conv5_4_[wb]$",))
