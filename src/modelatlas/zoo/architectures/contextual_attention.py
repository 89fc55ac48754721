"""Contextual attention: what lies in the hole is put together from patches of what lies around it.

Yu et al., CVPR 2018, section 4.1, in the numerics of the authors' code (v1). With f the features, b the
same features, both halved, and P(j) the 3 x 3 patch of b around position j:

    s(i, j) = <P_f(i), P_b(j) / max(|P_b(j)|, 1e-4)>
    s <- F2 F1 s      F1 adds the neighbours (i + d, j + d), d = -1, 0, 1, along rows, F2 along columns
    a(i, j) = m(j) softmax_j(10 m(j) s(i, j))     m(j) = 1 where no pixel of patch j is in the hole

and every position i is replaced by the sum over j of a(i, j) times the 4 x 4 patch of the unhalved features
at j; patches are 2 apart and overlap, so the sum is divided by 4. The flow picture of the authors' code is
left out.
"""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelatlas.zoo.architectures.aligned import resize_nearest_aligned

__all__ = ["ContextualAttention"]

_SHARPNESS: Final = 10.0
_LEAST_NORM: Final = 1e-4


class ContextualAttention(nn.Module):
    """Features [N, C, H, W] and a mask [1, 1, H, W] of ones in the hole -> [N, C, H, W]; H and W are even."""

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:  # noqa: D102
        height, width = (size // 2 for size in features.shape[-2:])
        small = resize_nearest_aligned(features, height, width)
        patches = F.unfold(small, 3, padding=1)  # [N, 9 C, positions]
        norms = patches.square().sum(1, keepdim=True).sqrt().clamp_min(_LEAST_NORM)
        likeness = _fused(patches.transpose(1, 2) @ (patches / norms), height, width)
        covered = F.unfold(resize_nearest_aligned(mask, height, width), 3, padding=1)
        known = (covered.mean(1, keepdim=True) == 0).to(features.dtype)  # [1, 1, positions]
        attention = torch.softmax(likeness * known * _SHARPNESS, dim=2) * known
        whole = F.unfold(features, 4, stride=2, padding=1)  # [N, 16 C, positions]
        pasted = whole @ attention.transpose(1, 2)
        return F.fold(pasted, features.shape[-2:], 4, stride=2, padding=1) / 4


def _fused(likeness: Tensor, height: int, width: int) -> Tensor:
    """Add the likeness of neighbours in the same direction: long matches count more than single ones."""
    by_row = _add_diagonal(likeness)
    by_column = _add_diagonal(_swapped(by_row, height, width))
    return _swapped(by_column, width, height)


def _add_diagonal(likeness: Tensor) -> Tensor:
    """x[i, j] + x[i - 1, j - 1] + x[i + 1, j + 1], zeros outside."""
    before = F.pad(likeness[:, :-1, :-1], (1, 0, 1, 0))
    after = F.pad(likeness[:, 1:, 1:], (0, 1, 0, 1))
    return likeness + before + after


def _swapped(likeness: Tensor, height: int, width: int) -> Tensor:
    """Count positions down the columns instead of along the rows, on both axes."""
    images, positions, _ = likeness.shape
    split = likeness.reshape(images, height, width, height, width)
    return split.transpose(1, 2).transpose(3, 4).reshape(images, positions, positions)
