"""The encoder of the mini-Taskonomy: one architecture for all of its twenty tasks.

128 x 128 pixels become a code of 8 x 8 positions and 8 channels (stride 16, as Taskonomy's 256 -> 16 x 16 x
8). As in its encoder, a convolution to 8 channels, a BatchNorm and a **ReLU** end it, and no normalisation
follows: units are >= 0, so their plain sum, which attribution starts from, means something.
`bottleneck="linear"` leaves the last ReLU out: the control of a trial in which linear codes made signed
attribution maps useless.
"""

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["CODE", "INPUT", "Block", "Bottleneck", "Encoder", "convolution"]

INPUT = 128  # pixels a side
CODE = (8, 8, 8)  # channels, rows, columns

Bottleneck = Literal["relu", "linear"]


def convolution(
    inputs: int, outputs: int, *, stride: int = 1, kernel: int = 3, relu: bool = True
) -> nn.Sequential:
    """Return a convolution without bias, a BatchNorm and, unless told otherwise, a ReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, nn.ReLU()) if relu else nn.Sequential(*layers)


class Block(nn.Module):
    """A residual block of two 3 x 3 convolutions with a projected skip (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.first = convolution(inputs, outputs, stride=stride)
        self.second = convolution(outputs, outputs, relu=False)
        self.skip = convolution(inputs, outputs, stride=stride, kernel=1, relu=False)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Sum of both branches, rectified."""
        return self.relu(self.second(self.first(x)) + self.skip(x))  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """Picture in [-1, 1] -> code; about 0.7 M parameters.

    Parameters
    ----------
    widths
        Channels of the four residual blocks, whose strides are 1, 2, 2, 1 after a stem of stride 4. Multiples
        of 16: with 24 channels in front, as in the first trials, a training step took a fifth longer.
    channels
        Channels of the code.
    bottleneck
        "relu": the code is >= 0. "linear": the control.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (16, 48, 96, 192),
        channels: int = CODE[0],
        bottleneck: Bottleneck = "relu",
    ) -> None:
        super().__init__()
        self.stem = convolution(3, widths[0], stride=2, kernel=5)
        self.pool = nn.MaxPool2d(2)
        pairs = zip((widths[0], *widths), widths, (1, 2, 2, 1), strict=False)
        self.blocks = nn.Sequential(*(Block(a, b, stride=stride) for a, b, stride in pairs))
        self.compress = convolution(widths[-1], channels, relu=False)
        self.code: nn.Module = nn.ReLU() if bottleneck == "relu" else nn.Identity()

    def forward(self, picture: Float[Tensor, "image 3 height width"]) -> Float[Tensor, "image channel y x"]:
        """Return the code; a 128-pixel picture gives 8 channels of 8 x 8."""
        codes: Tensor = self.code(self.compress(self.blocks(self.pool(self.stem(picture)))))
        return codes
