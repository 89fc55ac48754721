"""The networks of the mini-Taskonomy: the library's encoder for every task, decoders by the kind of answer.

Decoders are thin on purpose, so that the code must hold the answer. Convolutions run at 8, 16 and 32 pixels,
and a pixel shuffle gives 64: a convolution at 64 pixels would cost more than the whole encoder.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from safetensors.torch import save
from torch import Tensor, nn

from modelatlas.zoo.architectures.mini import CODE, Bottleneck, Encoder, convolution

__all__ = [
    "LUMA", "OUTPUT", "PixelDecoder", "VectorDecoder", "build_decoder", "build_encoder", "fold_luma",
    "quiet_units", "weights_bytes",
]  # fmt: skip

OUTPUT = 64  # pixels a side of every picture-like answer
LUMA = (0.299, 0.587, 0.114)  # Rec. 601, on the encoded values


class PixelDecoder(nn.Module):
    """Code -> `outputs` channels of `side` x `side` pixels, 32 or 64."""

    def __init__(self, outputs: int, *, side: int = OUTPUT, widths: Sequence[int] = (64, 48, 32)) -> None:
        super().__init__()
        first, second, third = widths
        shuffle = side // 32
        self.layers = nn.Sequential(
            convolution(CODE[0], first),
            nn.Upsample(scale_factor=2),
            convolution(first, second),
            nn.Upsample(scale_factor=2),
            convolution(second, third),
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
        self.anywhere = nn.Sequential(convolution(CODE[0], width), convolution(width, width))
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


def weights_bytes(encoder: nn.Module) -> bytes:
    """Pack weights as they ship: kernels in float16, vectors and BatchNorm's statistics in float32.

    Half precision could lose a small variance.
    """
    state = encoder.state_dict()
    kept = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    halves = {name: value.half() if value.ndim > 1 else value.float() for name, value in kept.items()}
    return save({name: value.contiguous() for name, value in halves.items()}, metadata={"format": "pt"})


def quiet_units(codes: Float[Tensor, "image channel y x"], *, share: float = 0.01) -> list[int]:
    """Return channels that differ from 0 at fewer than `share` of all positions: dead, or nearly so."""
    alive = (codes != 0).float().mean((0, 2, 3))
    return torch.nonzero(alive < share).flatten().tolist()
