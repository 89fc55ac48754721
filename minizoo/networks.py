"""The one architecture of the mini-Taskonomy: an encoder for every task, decoders by the kind of answer.

128 x 128 pixels become a code of 8 x 8 positions and 8 channels (stride 16, as Taskonomy's 256 -> 16 x 16 x
8). As in its encoder, a convolution to 8 channels, a BatchNorm and a **ReLU** end it, and no normalisation
follows: units are >= 0, so their plain sum, which attribution starts from, means something.
`bottleneck="linear"` leaves the last ReLU out: the control of a trial in which linear codes made signed
attribution maps useless.

Decoders are thin on purpose, so that the code must hold the answer. Convolutions run at 8, 16 and 32 pixels,
and a pixel shuffle gives 64: a convolution at 64 pixels would cost more than the whole encoder.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = [
    "CODE", "INPUT", "LUMA", "OUTPUT", "Block", "Bottleneck", "Encoder", "PixelDecoder", "VectorDecoder",
    "build_decoder", "build_encoder", "fold_luma", "quiet_units",
]  # fmt: skip

INPUT = 128  # pixels a side
CODE = (8, 8, 8)  # channels, rows, columns
OUTPUT = 64  # pixels a side of every picture-like answer
LUMA = (0.299, 0.587, 0.114)  # Rec. 601, on the encoded values

Bottleneck = Literal["relu", "linear"]


def _convolution(
    inputs: int, outputs: int, *, stride: int = 1, kernel: int = 3, relu: bool = True
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, nn.ReLU()) if relu else nn.Sequential(*layers)


class Block(nn.Module):
    """A residual block of two 3 x 3 convolutions with a projected skip (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.first = _convolution(inputs, outputs, stride=stride)
        self.second = _convolution(outputs, outputs, relu=False)
        self.skip = _convolution(inputs, outputs, stride=stride, kernel=1, relu=False)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Sum of both branches, rectified."""
        return self.relu(self.second(self.first(x)) + self.skip(x))


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
        self.stem = _convolution(3, widths[0], stride=2, kernel=5)
        self.pool = nn.MaxPool2d(2)
        pairs = zip((widths[0], *widths), widths, (1, 2, 2, 1), strict=False)
        self.blocks = nn.Sequential(*(Block(a, b, stride=stride) for a, b, stride in pairs))
        self.compress = _convolution(widths[-1], channels, relu=False)
        self.code: nn.Module = nn.ReLU() if bottleneck == "relu" else nn.Identity()

    def forward(self, picture: Float[Tensor, "image 3 height width"]) -> Float[Tensor, "image channel y x"]:
        """Return the code; a 128-pixel picture gives 8 channels of 8 x 8."""
        return self.code(self.compress(self.blocks(self.pool(self.stem(picture)))))


class PixelDecoder(nn.Module):
    """Code -> `outputs` channels of `side` x `side` pixels, 32 or 64."""

    def __init__(self, outputs: int, *, side: int = OUTPUT, widths: Sequence[int] = (64, 48, 32)) -> None:
        super().__init__()
        first, second, third = widths
        shuffle = side // 32
        self.layers = nn.Sequential(
            _convolution(CODE[0], first),
            nn.Upsample(scale_factor=2),
            _convolution(first, second),
            nn.Upsample(scale_factor=2),
            _convolution(second, third),
            nn.Conv2d(third, shuffle**2 * outputs, 3, padding=1),
            nn.PixelShuffle(shuffle),
        )

    def forward(self, code: Float[Tensor, "image 8 8 8"]) -> Float[Tensor, "image channel side side"]:
        """Decode."""
        return self.layers(code)


class VectorDecoder(nn.Module):
    """Code -> `outputs` numbers, from what is seen anywhere and from what is seen where.

    Two convolutions, pooled by mean and maximum, say what there is; a linear layer over all cells says
    where. With the linear path alone `class_places` overfitted the rooms: 400 steps on 672 rooms gave .88
    of the best constant's loss (.66 on the training views), with both paths .82 (.78).
    """

    def __init__(self, outputs: int, *, width: int = 64, dropout: float = 0.3) -> None:
        super().__init__()
        cells = CODE[0] * CODE[1] * CODE[2]
        self.anywhere = nn.Sequential(_convolution(CODE[0], width), _convolution(width, width))
        self.where = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(cells, width), nn.ReLU())
        self.answer = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(3 * width, 2 * width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(2 * width, outputs),
        )

    def forward(self, code: Float[Tensor, "image 8 8 8"]) -> Float[Tensor, "image value"]:
        """Decode."""
        seen = self.anywhere(code)
        return self.answer(torch.cat([seen.mean((2, 3)), seen.amax((2, 3)), self.where(code)], 1))


def build_encoder(*, seed: int, bottleneck: Bottleneck = "relu") -> Encoder:
    """Return an encoder with the initial weights of `seed`, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = Encoder(bottleneck=bottleneck)
    return encoder.to(memory_format=torch.channels_last)


def build_decoder(side: int, outputs: int, *, seed: int, readout: bool = False) -> nn.Module:
    """Return a decoder with the initial weights of `seed`.

    `side` 0 gives one for vectors, `readout` the small one of the transfers.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if side:
            decoder: nn.Module = PixelDecoder(
                outputs, side=side, widths=(32, 24, 16) if readout else (64, 48, 32)
            )
        else:
            decoder = VectorDecoder(outputs, width=32 if readout else 64)
    return decoder.to(memory_format=torch.channels_last)


@torch.no_grad()
def fold_luma(encoder: Encoder) -> None:
    """Make an encoder that was trained on grey pictures (luma in all channels) take the coloured one.

    The stem is linear: sum_c W_c * (l . rgb) = sum_d (l_d * sum_c W_c) * rgb_d. Afterwards every encoder of
    the zoo has the same input, and this one still sees no colour. Luma's weights sum to 1: [-1, 1] stays
    [-1, 1].
    """
    weight = encoder.stem[0].weight
    total = weight.sum(1, keepdim=True)
    weight.copy_(total * weight.new_tensor(LUMA).view(1, 3, 1, 1))


def quiet_units(codes: Float[Tensor, "image channel y x"], *, share: float = 0.01) -> list[int]:
    """Return channels that differ from 0 at fewer than `share` of all positions: dead, or nearly so."""
    alive = (codes != 0).float().mean((0, 2, 3))
    return torch.nonzero(alive < share).flatten().tolist()
