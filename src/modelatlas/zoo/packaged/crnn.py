"""CRNN: text recognition (Shi et al. 2017), a small VGG and two bidirectional LSTMs, read out per column.

Structure and names follow EasyOCR's second-generation recogniser (Apache-2.0), whose code is not run. Its
97 outputs are a blank and 96 characters, for a connectionist temporal classification decoder.
"""

from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

__all__ = ["CHARACTERS", "CRNN", "text_recognition"]

CHARACTERS: Final = (
    "0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ \u20acABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)
"""Of outputs 1 to 96; output 0 is the blank."""


class BidirectionalLSTM(nn.Module):
    """An LSTM both ways, and a linear layer over both states."""

    def __init__(self, channels_in: int, hidden: int, channels_out: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(channels_in, hidden, bidirectional=True, batch_first=True)
        self.linear = nn.Linear(2 * hidden, channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """[N, T, in] -> [N, T, out]."""
        return self.linear(self.rnn(x)[0])  # type: ignore[no-any-return]


class ConvNet(nn.Module):
    """[N, 1, 64, W] -> [N, 256, 3, W/4 - 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.ConvNet = nn.Sequential(
            *_convolution(1, 32), nn.MaxPool2d(2),
            *_convolution(32, 64), nn.MaxPool2d(2),
            *_convolution(64, 128), *_convolution(128, 128), nn.MaxPool2d((2, 1)),
            *_convolution(128, 256, norm=True), *_convolution(256, 256, norm=True), nn.MaxPool2d((2, 1)),
            nn.Conv2d(256, 256, 2), nn.ReLU(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Features of columns."""
        return self.ConvNet(x)  # type: ignore[no-any-return]


class CRNN(nn.Module):
    """[N, 1, 64, W] in -1..1 -> logits [N, W/4 - 1, 97]."""

    def __init__(self) -> None:
        super().__init__()
        self.FeatureExtraction = ConvNet()
        self.SequenceModeling = nn.Sequential(
            BidirectionalLSTM(256, 256, 256), BidirectionalLSTM(256, 256, 256)
        )
        self.Prediction = nn.Linear(256, 97)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of each column's character."""
        columns = self.FeatureExtraction(images).mean(dim=2).transpose(1, 2)
        return self.Prediction(self.SequenceModeling(columns))  # type: ignore[no-any-return]


def _convolution(channels_in: int, channels_out: int, *, norm: bool = False) -> list[nn.Module]:
    convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=not norm)
    return [convolution, *([nn.BatchNorm2d(channels_out)] if norm else []), nn.ReLU()]


def text_recognition(weights: Path | None) -> nn.Module:
    """Build the network, with the package's weights or fresh ones."""
    network = CRNN()
    if weights is not None:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        network.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    return network
