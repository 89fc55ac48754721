"""From attribution maps to map vectors: exact area averaging, then unit length.

A map of height n becomes g rows by M_g,n with M[i, j] = the length of the overlap of [i n/g, (i+1) n/g) and
[j, j+1), so that the sum is kept also where n/g is no integer (method.md, step 2): out = M_H A M_W^T. Torch's
adaptive pooling uses whole pixels and is not that (affinity .647 instead of .657 for 224 -> 64).
"""

from functools import lru_cache

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from modelatlas.errors import AttributionError

__all__ = ["area_grid", "map_vectors"]


def area_grid(maps: Float[Tensor, "image height width"], *, grid: int) -> Float[Tensor, "image grid grid"]:
    """Distribute maps over a grid of equal cells by area; each map's sum is kept.

    Parameters
    ----------
    maps
        Any size: a grid finer than the map uses the same formula.
    grid
        Cells along each axis, at least 1.

    Returns
    -------
        Sums over the cells, of the dtype and on the device of `maps`.

    Raises
    ------
    AttributionError
        `grid` is below 1.
    """
    if grid < 1:
        raise AttributionError(f"a grid needs at least one cell along an axis, got {grid}")
    rows, columns = (_overlap(size, grid, maps.dtype, maps.device) for size in maps.shape[-2:])
    return rows @ maps @ columns.T


def map_vectors(
    attribution: Float[Tensor, "image channel height width"], *, grid: int
) -> tuple[Float32[Tensor, "image grid grid"], Float32[Tensor, " image"]]:
    """Reduce attribution maps to unit map vectors, and give their lengths before.

    Channels are averaged, the map brought to the grid, and normalised in float32: raw gradients span 1e-7 to
    1e+7, beyond float16, in which the unit vectors are stored.

    Returns
    -------
    vectors
        L2 norm 1 each; zeros where the norm is 0 or not finite (a dead map).
    norms
        L2 norms before normalisation, as they are: 0, infinity and NaN included.
    """
    cells = area_grid(attribution.to(torch.float32).mean(1), grid=grid)
    # Scaled by the largest cell first: squares of 1e-25 would vanish in float32, those of 1e+25 overflow.
    peak = cells.abs().amax((1, 2))
    scaled = cells / torch.where(peak > 0, peak, 1)[:, None, None]
    length = torch.linalg.vector_norm(scaled, dim=(1, 2))
    norms = length * peak
    alive = torch.isfinite(norms) & (norms > 0)
    vectors = torch.where(alive[:, None, None], scaled / torch.where(alive, length, 1)[:, None, None], 0)
    return vectors, norms


@lru_cache(maxsize=64)
def _overlap(size: int, grid: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Lengths of overlap between `grid` equal cells and `size` pixels of length 1: [grid, size]."""
    edges = torch.arange(grid + 1, dtype=torch.float64) * size / grid
    pixels = torch.arange(size, dtype=torch.float64)
    low = torch.maximum(edges[:-1, None], pixels)
    high = torch.minimum(edges[1:, None], pixels + 1)
    return (high - low).clamp_min(0).to(device, dtype)
