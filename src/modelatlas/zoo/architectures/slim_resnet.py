"""TF-Slim's ResNet V1: trunk, mean over the picture, logits (no background class)."""

from typing import Final

from torch import Tensor, nn

from modelatlas.zoo.architectures.bottleneck_resnet import PLANS, ResNetTrunk
from modelatlas.zoo.architectures.layers import GlobalMean
from modelatlas.zoo.checkpoints import NameTable, Slot

__all__ = ["SlimResNet", "resnet_names"]

_CLASSES: Final = 1000


class SlimResNet(nn.Module):
    """[N, 3, 224, 224] -> logits [N, 1000]; `pool5` is the layer before them, [N, 2048]."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.trunk = ResNetTrunk(PLANS[name])
        self.pool5 = GlobalMean()
        self.logits = nn.Linear(self.trunk.channels_out, _CLASSES)

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        return self.logits(self.pool5(self.trunk(images)))  # type: ignore[no-any-return]


def resnet_names(network: SlimResNet) -> NameTable:
    """Names in TF-Slim's checkpoints; `mean_rgb` is the mean colour of its training pictures."""
    slots = network.trunk.slim_slots("trunk.", "")
    slots |= {"logits.weight": Slot("logits/weights", "11IO"), "logits.bias": Slot("logits/biases")}
    return NameTable(slots=slots, anchor="logits/weights", unused=(r"resnet_v1_\d+/mean_rgb$",))
