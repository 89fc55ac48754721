"""Which maps count as missing (method.md, "Dead")."""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float

__all__ = ["DEAD_BELOW", "dead_maps"]

DEAD_BELOW: Final = 1e-6
"""A map is dead when its norm is below this share of the model's median norm."""


def dead_maps(norms: Float[np.ndarray, "model image"]) -> Bool[np.ndarray, "model image"]:
    """Mark the maps that are alive: finite, not zero, not below 1e-6 of the model's median norm.

    Parameters
    ----------
    norms
        L2 norm of each map before normalisation, any scale; NaN or infinite where it overflowed.

    Returns
    -------
        True where the map is **alive**. The median is taken over finite norms above zero, so that a model
        with many zero maps is still measured against its own scale.
    """
    norms = norms.astype(np.float64)
    alive: Bool[np.ndarray, "model image"] = np.isfinite(norms) & (norms > 0)
    for row, living in zip(norms, alive, strict=True):
        if living.any():
            # An infinite neighbour compares False without harm; NaN likewise.
            living &= row >= DEAD_BELOW * np.median(row[living])
    return alive
