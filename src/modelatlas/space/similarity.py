"""How alike the maps of two models on one image are.

    cosine         <v_i, v_j> of unit maps                                     (docs/method.md, step 4)
    correlation    Pearson's r over the cells; of signed maps its absolute value

The cosine of two maps that are nowhere negative is mostly their common mean: r leaves it out. The sign of a
signed map depends on the signs that a network's units happen to have, and changes from image to image: the
mean of |r| keeps what a mean of r averages away (studies/mini.py measures both). It has no zero: unrelated
maps of n independent cells get sqrt(2 / (pi n)) or so.
"""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Float64

from modelatlas.space.exact import gram

__all__ = ["SIMILARITIES", "correlations"]

SIMILARITIES: Final = ("cosine", "correlation")
FLAT: Final = 1e-6
"""Sum of squares of a unit map less its mean, below which nothing but rounding to float16 is left."""


def correlations(
    maps: Float[np.ndarray, "model cell"], *, alive: Bool[np.ndarray, " model"], signed: bool
) -> tuple[Float64[np.ndarray, "model model"], Float64[np.ndarray, "model model"]]:
    """Inner products and correlations of all pairs of maps of one image, both zero where one is dead.

    A flat map (all cells alike) has correlation 0 with every other one. Each entry is computed from exact
    sums by the same few operations, so that it does not depend on order or blocks.
    """
    ones = np.ones((1, maps.shape[1]), dtype=maps.dtype)
    products = gram(np.concatenate([maps, ones]), alive=np.append(alive, True))
    totals, products = products[-1, :-1], products[:-1, :-1]
    shared = products - np.outer(totals, totals) / maps.shape[1]
    squares = shared.diagonal()
    spread = np.sqrt(np.where(squares > FLAT, squares, np.inf))
    found = np.clip(shared / np.outer(spread, spread), -1, 1)
    return products, np.abs(found) if signed else found
