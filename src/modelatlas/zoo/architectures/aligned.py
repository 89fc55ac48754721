"""Nearest-neighbour resizing as TensorFlow 1 did it with `align_corners=True`.

    source index of target pixel i = round(i * (n_in - 1) / (n_out - 1)), halves up, in float32

so that the first pixels and the last ones meet. torch's nearest is another rule: from 32 to 64 pixels it
takes 0, 0, 1, 1, ..., this one 0, 0, 1, 1, ..., 15, 16, 16, ..., 31, 31: a shift in the second half, which
moves the features of the inpainting networks by a fifth. Source:
tensorflow/core/kernels/image/resize_nearest_neighbor_op.cc.
"""

import numpy as np
import torch
from torch import Tensor

__all__ = ["aligned_indices", "resize_nearest_aligned"]


def aligned_indices(size_in: int, size_out: int) -> list[int]:
    """Source index of each target pixel along one axis."""
    if size_out == 1:
        return [0]
    scale = np.float32(size_in - 1) / np.float32(size_out - 1)
    positions = np.arange(size_out, dtype=np.float32) * scale
    return [int(index) for index in np.minimum(np.floor(positions + np.float32(0.5)), size_in - 1)]


def resize_nearest_aligned(x: Tensor, height: int, width: int) -> Tensor:
    """[N, C, H, W] -> [N, C, height, width]."""
    rows, columns = (
        torch.tensor(aligned_indices(size_in, size_out), device=x.device)
        for size_in, size_out in zip(x.shape[-2:], (height, width), strict=True)
    )
    return x.index_select(2, rows).index_select(3, columns)
