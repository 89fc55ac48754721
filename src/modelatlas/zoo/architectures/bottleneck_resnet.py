"""One family of bottleneck ResNets, of which TensorFlow's first networks are made.

What differs between them stands in a `ResNetPlan`; see the plans below the class. As in TF-Slim, a block
shrinks at its end: in the 3 x 3 convolution of its last unit, whose shortcut is subsampled. Caffe and
MatConvNet shrink at the beginning of the next block instead (its first 1 x 1 and its projection, stride 2),
which read just the positions that are computed here: the same function. torchvision and timm do neither.
Paper: He et al., CVPR 2016, section 4.1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from torch import Tensor, nn
from torch.nn import functional as F

from modelatlas.zoo.architectures.layers import NormedConv, normed_conv_slots
from modelatlas.zoo.architectures.same import SameMaxPool2d
from modelatlas.zoo.checkpoints import Slot

__all__ = ["PLANS", "ResNetPlan", "ResNetTrunk"]


@dataclass(frozen=True)
class ResNetPlan:
    """What one trunk differs in.

    Attributes
    ----------
    units
        Bottlenecks a block; block b has 64 * 2**b channels inside and four times as many outside.
    strides
        At the end of each block.
    epsilon
        Of every batch norm.
    """

    units: tuple[int, ...]
    strides: tuple[int, ...]
    epsilon: float = 1e-5


PLANS: Final = {
    "resnet_v1_50": ResNetPlan(units=(3, 4, 6, 3), strides=(2, 2, 2, 1)),
    "resnet_v1_101": ResNetPlan(units=(3, 4, 23, 3), strides=(2, 2, 2, 1)),
    "resnet_v1_152": ResNetPlan(units=(3, 8, 36, 3), strides=(2, 2, 2, 1)),
    "taskonomy": ResNetPlan(units=(3, 4, 6, 3), strides=(2, 2, 1, 1)),
}


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1, each with batch norm; the shortcut is added before the last ReLU."""

    def __init__(self, channels_in: int, width: int, *, stride: int, epsilon: float) -> None:
        super().__init__()
        self.stride = stride
        self.shortcut: nn.Module | None = None
        if channels_in != 4 * width:
            self.shortcut = NormedConv(
                channels_in, 4 * width, 1, stride=stride, padding=0, epsilon=epsilon, activation="none"
            )
        self.conv1 = NormedConv(channels_in, width, 1, padding=0, epsilon=epsilon)
        # padded alike on both sides at stride 2 too: slim's conv2d_same, not SAME
        self.conv2 = NormedConv(width, width, 3, stride=stride, padding=1, epsilon=epsilon)
        self.conv3 = NormedConv(width, 4 * width, 1, padding=0, epsilon=epsilon, activation="none")
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        if self.shortcut is not None:
            shortcut = self.shortcut(x)
        else:
            shortcut = F.max_pool2d(x, 1, self.stride) if self.stride > 1 else x
        return self.act(shortcut + self.conv3(self.conv2(self.conv1(x))))  # type: ignore[no-any-return]


class ResNetTrunk(nn.Module):
    """Stem, pool, blocks, no head: [N, C, H, W] -> [N, channels_out, H / s, W / s], s = 4 * the strides."""

    def __init__(self, plan: ResNetPlan, *, channels: int = 3) -> None:
        super().__init__()
        self.plan = plan
        self.conv1 = NormedConv(channels, 64, 7, stride=2, padding=3, epsilon=plan.epsilon)
        self.pool1 = SameMaxPool2d(3, stride=2)
        width_in = 64
        for block, (units, stride) in enumerate(zip(plan.units, plan.strides, strict=True), start=1):
            width = 32 * 2**block
            members = nn.Sequential()
            for unit in range(1, units + 1):
                own_stride = stride if unit == units else 1
                member = Bottleneck(width_in, width, stride=own_stride, epsilon=plan.epsilon)
                members.add_module(f"unit_{unit}", member)
                width_in = 4 * width
            self.add_module(f"block{block}", members)
        self.channels_out = width_in

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        x = self.pool1(self.conv1(x))
        for block in range(1, len(self.plan.units) + 1):
            x = self.get_submodule(f"block{block}")(x)
        return x

    def slim_slots(self, module: str, scope: str) -> dict[str, Slot]:
        """Tell where TF-Slim keeps the tensors: after `module` in a state dict, `scope` in a checkpoint."""
        slots: dict[str, Slot] = {}
        for name in self._convolutions():
            # block1.unit_1.conv1 -> block1/unit_1/bottleneck_v1/conv1
            path = name.replace(".", "/").replace("/conv", "/bottleneck_v1/conv")
            path = path.replace("/shortcut", "/bottleneck_v1/shortcut")
            slots |= normed_conv_slots(f"{module}{name}", f"{scope}{path}")
        return slots

    def _convolutions(self) -> Iterator[str]:
        return (name for name, part in self.named_modules() if isinstance(part, NormedConv))
