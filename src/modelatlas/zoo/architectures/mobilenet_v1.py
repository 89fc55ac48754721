"""MobileNet V1 (Howard et al. 2017, table 1) as TF-Slim trained it.

A 3 x 3 convolution, then thirteen pairs of a depthwise 3 x 3 and a pointwise 1 x 1 convolution, each with
batch norm (epsilon 1e-3) and ReLU6, all with SAME padding (nothing before and one after at stride 2). The
smaller networks have int(width * multiplier) channels.
"""

from typing import Final

from torch import Tensor, nn

from modelatlas.zoo.architectures.layers import GlobalMean, NormedConv, normed_conv_slots
from modelatlas.zoo.checkpoints import NameTable, Slot

__all__ = ["MobileNetV1", "mobilenet_names"]

_STEM: Final = 32
_PAIRS: Final = (  # stride of the depthwise, channels after the pointwise convolution
    (1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512),
    (1, 512), (1, 512), (1, 512), (1, 512), (1, 512), (2, 1024), (1, 1024),
)  # fmt: skip
_EPSILON: Final = 1e-3
_CLASSES: Final = 1001


class MobileNetV1(nn.Module):
    """[N, 3, H, W] -> logits [N, 1001], class 0 is the background; `AvgPool_1a` is the layer before them."""

    def __init__(self, multiplier: float) -> None:
        super().__init__()
        width = int(_STEM * multiplier)
        self.Conv2d_0 = NormedConv(3, width, 3, stride=2, epsilon=_EPSILON, activation="relu6")
        for number, (stride, channels) in enumerate(_PAIRS, start=1):
            depthwise = NormedConv(
                width, width, 3, stride=stride, groups=width, epsilon=_EPSILON, activation="relu6"
            )
            self.add_module(f"Conv2d_{number}_depthwise", depthwise)
            wider = int(channels * multiplier)
            pointwise = NormedConv(width, wider, 1, epsilon=_EPSILON, activation="relu6")
            self.add_module(f"Conv2d_{number}_pointwise", pointwise)
            width = wider
        self.AvgPool_1a = GlobalMean()
        self.logits = nn.Linear(width, _CLASSES)

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        x = self.Conv2d_0(images)
        for number in range(1, len(_PAIRS) + 1):
            x = self.get_submodule(f"Conv2d_{number}_depthwise")(x)
            x = self.get_submodule(f"Conv2d_{number}_pointwise")(x)
        return self.logits(self.AvgPool_1a(x))  # type: ignore[no-any-return]


def mobilenet_names(network: MobileNetV1) -> NameTable:
    """Names in TF-Slim's checkpoints."""
    slots = normed_conv_slots("Conv2d_0", "Conv2d_0")
    for number in range(1, len(_PAIRS) + 1):
        depthwise, pointwise = f"Conv2d_{number}_depthwise", f"Conv2d_{number}_pointwise"
        slots |= normed_conv_slots(depthwise, depthwise, depthwise=True)
        slots |= normed_conv_slots(pointwise, pointwise)
    slots["logits.weight"] = Slot("Logits/Conv2d_1c_1x1/weights", "11IO")
    slots["logits.bias"] = Slot("Logits/Conv2d_1c_1x1/biases")
    return NameTable(slots=slots, anchor="Logits/Conv2d_1c_1x1/weights")
