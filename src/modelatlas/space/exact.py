"""Sums of inner products of float16 unit vectors without any rounding, so in any order.

A float16 value is a multiple of 2^-24, a product of two a multiple of 2^-48. Partial sums of the inner
product of two unit vectors stay below 2^5 (Cauchy-Schwarz), so they need at most 53 bits: a float64 matrix
product adds them **exactly**, whatever its blocks, threads or order. Over images the sums are kept as two
integers, in units of 2^-24 and 2^-48, exact as well. Therefore the same stored maps give the same bits on
every machine, for every block size and every order of images and models. (A float32 product takes two thirds
of the time and is off by 5e-7 already for one image of 65,536 cells: not used.)
"""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Float64

__all__ = ["ExactSum", "gram"]

CHUNK_BYTES: Final = 64 << 20
COARSE: Final = 2.0**24
"""Units of the high limb per 1, and of the low limb per unit of the high one."""


def gram(
    maps: Float[np.ndarray, "model cell"],
    *,
    alive: Bool[np.ndarray, " model"],
    others: Float[np.ndarray, "model cell"] | None = None,
) -> Float64[np.ndarray, "model model"]:
    """Inner products of all pairs of maps of one image, zero where one is dead; exact for float16.

    With `others`, a second map of each model: those of the first maps (rows) with the second (columns).
    """
    models, cells = maps.shape
    total = np.zeros((models, models))
    step = max(1, CHUNK_BYTES // (8 * max(models, 1)))
    for start in range(0, cells, step):
        chunk = _living(maps[:, start : start + step], alive)
        total += chunk @ (chunk if others is None else _living(others[:, start : start + step], alive)).T
    return total


def _living(
    maps: Float[np.ndarray, "model cell"], alive: Bool[np.ndarray, " model"]
) -> Float64[np.ndarray, "model cell"]:
    chunk = maps.astype(np.float64)
    chunk[~alive] = 0.0  # not a product with 0: a dead map may hold NaN
    return chunk


class ExactSum:
    """Running sum of arrays whose entries are multiples of 2^-48, for up to 2^38 of them."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._high = np.zeros(shape, dtype=np.int64)
        self._low = np.zeros(shape, dtype=np.int64)

    def add(self, values: Float64[np.ndarray, "*shape"]) -> None:
        """Add one array; float32 maps, whose products are finer than 2^-48, are rounded to that here."""
        high = np.floor(values * COARSE)
        self._high += high.astype(np.int64)
        self._low += np.rint((values * COARSE - high) * COARSE).astype(np.int64)

    def total(self) -> Float64[np.ndarray, "*shape"]:
        """Give the sum so far, rounded once."""
        carry = np.floor_divide(self._low, int(COARSE))
        low = self._low - carry * int(COARSE)
        return np.asarray((self._high + carry) / COARSE + low / COARSE**2)
