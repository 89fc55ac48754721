"""How alike the maps of two models on one image are.

    cosine         <v_i, v_j> of unit maps                                     (docs/method.md, step 4)
    correlation    Pearson's r over the cells; of signed maps (|r| - c) / (1 - c)

The cosine of two maps that are nowhere negative is mostly their common mean: r leaves it out. The sign of a
signed map depends on the signs that a network's units happen to have, and changes from image to image: the
mean of |r| keeps what a mean of r averages away (studies/mini.py measures both). But |r| of unrelated maps is
not 0: about sqrt(2 / (pi n)) for n independent cells, more where they are smooth. That level c is measured
for each pair and image, as |r| with one of the two maps moved by half its width, round the edge (a torus
shift: Harms et al. 2001, J. Ecol. 89), which leaves it as smooth as it was, and taken off as chance is from
the Rand index (Hubert & Arabie 1985).
"""

import math
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Float64

from modelatlas.errors import InputError
from modelatlas.space.exact import gram

__all__ = ["SIMILARITIES", "correlations"]

SIMILARITIES: Final = ("cosine", "correlation")
BELOW_ONE: Final = 1 - 1e-6
FLAT: Final = 1e-6
"""Sum of squares of a unit map less its mean, below which nothing but rounding to float16 is left."""


def correlations(
    maps: Float[np.ndarray, "model cell"], *, alive: Bool[np.ndarray, " model"], signed: bool
) -> tuple[Float64[np.ndarray, "model model"], Float64[np.ndarray, "model model"]]:
    """Inner products and correlations of all pairs of maps of one image, both zero where one is dead.

    A flat map (all cells alike) has correlation 0 with every other one. Each entry is computed from exact
    sums by the same few operations, so that it does not depend on order or blocks.

    Raises
    ------
    InputError
        Signed maps that are not square, row by row.
    """
    cells = maps.shape[1]
    ones = np.ones((1, cells), dtype=maps.dtype)
    products = gram(np.concatenate([maps, ones]), alive=np.append(alive, True))
    totals, products = products[-1, :-1], products[:-1, :-1]
    expected = np.outer(totals, totals) / cells
    squares = (products - expected).diagonal()
    spread = np.sqrt(np.where(squares > FLAT, squares, np.inf))
    scale = np.outer(spread, spread)
    found = np.clip((products - expected) / scale, -1, 1)
    if not signed:
        return products, found
    moved = np.abs((gram(maps, alive=alive, others=_half_round(maps)) - expected) / scale)
    chance = np.minimum((moved + moved.T) / 2, BELOW_ONE)
    return products, np.clip((np.abs(found) - chance) / (1 - chance), -1, 1)


def _half_round(maps: Float[np.ndarray, "model cell"]) -> Float[np.ndarray, "model cell"]:
    """Square maps moved by half their width, what leaves on one side coming in on the other."""
    side = math.isqrt(maps.shape[1])
    if side * side != maps.shape[1]:
        raise InputError(
            f"the correlation of signed maps needs square maps, row by row: {maps.shape[1]} cells are none"
        )
    return np.roll(maps.reshape(-1, side, side), side // 2, axis=2).reshape(maps.shape)
