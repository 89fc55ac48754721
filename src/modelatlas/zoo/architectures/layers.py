"""The building blocks that TF-Slim's networks share: a normed convolution, and the place of its tensors."""

from typing import Literal

from torch import Tensor, nn

from modelatlas.zoo.architectures.same import SameConv2d
from modelatlas.zoo.checkpoints import Slot, normed

__all__ = ["Activation", "GlobalMean", "NormedConv", "normed_conv_slots"]

Activation = Literal["relu", "relu6", "none"]
_ACTIVATIONS = {"relu": nn.ReLU, "relu6": nn.ReLU6, "none": nn.Identity}


class NormedConv(nn.Module):
    """Convolution, batch norm, activation: `slim.conv2d` with `normalizer_fn=slim.batch_norm`.

    Parameters
    ----------
    padding
        None: TensorFlow's SAME.
    groups
        As many as channels: `slim.separable_conv2d` without its pointwise part.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        *,
        epsilon: float,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        if padding is None:
            self.conv: nn.Conv2d = SameConv2d(
                channels_in, channels_out, kernel, stride=stride, groups=groups, bias=False
            )
        else:
            self.conv = nn.Conv2d(
                channels_in, channels_out, kernel, stride, padding, groups=groups, bias=False
            )
        # untrained weights must keep the signal's size: torch's own shrink it sixfold a layer (in variance),
        # and what falls below the epsilon of epsilon-LRP is lost
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")
        self.norm = nn.BatchNorm2d(channels_out, eps=epsilon)
        self.act = _ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return self.act(self.norm(self.conv(x)))  # type: ignore[no-any-return]


class GlobalMean(nn.Module):
    """Mean over the picture: [N, C, H, W] -> [N, C]."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return x.mean((2, 3))


def normed_conv_slots(module: str, scope: str, *, depthwise: bool = False) -> dict[str, Slot]:
    """Slots of a `NormedConv` that TF-Slim wrote below `scope`."""
    kernel = Slot(f"{scope}/depthwise_weights", "HWCM") if depthwise else Slot(f"{scope}/weights", "HWIO")
    return {f"{module}.conv.weight": kernel} | normed(f"{module}.norm", scope)
