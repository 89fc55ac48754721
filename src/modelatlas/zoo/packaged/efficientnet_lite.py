"""EfficientNet-Lite0: inverted residuals with ReLU6 and without squeeze-and-excite.

Tan and Le 2019 (EfficientNet) in its "lite" form; structure and names follow the package
`efficientnet-lite-pytorch` (Apache-2.0), whose code is not run. Convolutions pad as TensorFlow's SAME
does: at stride 2 the smaller half first.
"""

import re
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["EfficientNetLite0", "efficientnet_lite0"]

# repeats, kernel, stride, expansion, channels out
_STAGES: Final = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
)  # fmt: skip
_BN_EPS: Final = 1e-3


class SameConv2d(nn.Conv2d):
    """Convolution without bias, padded to ceil(size / stride) as TensorFlow's SAME."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(channels_in, channels_out, kernel, stride=stride, groups=groups, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """Pad, then convolve."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        height, width = (
            max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in input.shape[-2:]
        )
        if height or width:
            input = F.pad(input, (width // 2, width - width // 2, height // 2, height - height // 2))
        return super().forward(input)


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; skip where the shape is kept."""

    def __init__(
        self, channels_in: int, channels_out: int, *, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        wide = channels_in * expansion
        if expansion > 1:
            self.expand_conv = SameConv2d(channels_in, wide, 1)
            self.bn0 = nn.BatchNorm2d(wide, eps=_BN_EPS)
        self.expands = expansion > 1
        self.depthwise_conv = SameConv2d(wide, wide, kernel, stride=stride, groups=wide)
        self.bn1 = nn.BatchNorm2d(wide, eps=_BN_EPS)
        self.project_conv = SameConv2d(wide, channels_out, 1)
        self.bn2 = nn.BatchNorm2d(channels_out, eps=_BN_EPS)
        self.skips = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)]."""
        y = F.relu6(self.bn0(self.expand_conv(x))) if self.expands else x
        y = F.relu6(self.bn1(self.depthwise_conv(y)))
        y = self.bn2(self.project_conv(y))
        return x + y if self.skips else y  # type: ignore[no-any-return]


class EfficientNetLite0(nn.Module):
    """[N, 3, 224, 224] -> logits [N, 1000]; `features`, [N, 1280, 7, 7], ends the convolutional part."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = SameConv2d(3, 32, 3, stride=2)
        self.bn0 = nn.BatchNorm2d(32, eps=_BN_EPS)
        blocks: list[nn.Module] = []
        channels = 32
        for repeats, kernel, stride, expansion, out in _STAGES:
            for index in range(repeats):
                blocks.append(
                    InvertedResidual(
                        channels, out, kernel=kernel, stride=1 if index else stride, expansion=expansion
                    )
                )
                channels = out
        self.blocks = nn.Sequential(*blocks)
        self.conv_head = SameConv2d(channels, 1280, 1)
        self.bn1 = nn.BatchNorm2d(1280, eps=_BN_EPS)
        self.features = nn.ReLU6()
        self.fc = nn.Linear(1280, 1000)

    def forward(self, images: Tensor) -> Tensor:
        """Logits over ImageNet's 1000 classes."""
        x = self.blocks(F.relu6(self.bn0(self.conv_stem(images))))
        x = self.features(self.bn1(self.conv_head(x)))
        return self.fc(x.mean(dim=(2, 3)))  # type: ignore[no-any-return]


def efficientnet_lite0(weights: Path | None) -> nn.Module:
    """Build the network, with the package's weights or fresh ones."""
    network = EfficientNetLite0()
    if weights is not None:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        # the package's names carry a leading underscore at every level
        network.load_state_dict({re.sub(r"(^|\.)_", r"\1", name): tensor for name, tensor in state.items()})
    return network
