"""Bootstrap intervals of an affinity, over probe images, from the Gram matrices of one pass.

A replicate draws as many images as there are, with replacement; its affinity is

    sum_p w_p <v_ip, v_jp> / sum_p w_p [both alive],    w multinomial,

so all replicates are two matrix products of the weights with what one pass over the maps has kept: the upper
triangle of each image's Gram matrix. Percentile interval (Efron 1979), widened to hold the affinity itself.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64

from modelatlas.space.matrix import Affinity

__all__ = ["GramHistory", "Interval"]

KEPT_BYTES: Final = 512 << 20
FEWEST_GROUPS: Final = 20
GRAIN: Final = 2.0**32
"""Gram entries are rounded to multiples of 1 / GRAIN: weighted sums of up to 2^21 images are then exact."""
BLOCK_BYTES: Final = 64 << 20


@dataclass(frozen=True, eq=False)
class Interval:
    """Lower and upper ends of the interval of every affinity.

    Attributes
    ----------
    models
        Names, in the order of rows and columns.
    low, high
        Symmetric, unit diagonal, in [-1, 1]; low <= affinity <= high.
    level
        Probability of the interval, in (0, 1).
    """

    models: tuple[str, ...]
    low: Float64[np.ndarray, "model model"]
    high: Float64[np.ndarray, "model model"]
    level: float

    def frame(self, affinity: Affinity) -> pd.DataFrame:
        """Long form, columns `source`, `target`, `affinity`, `low`, `high`: each ordered pair, row by row."""
        names, count = np.array(self.models, dtype=object), len(self.models)
        return pd.DataFrame(
            {
                "source": np.repeat(names, count),
                "target": np.tile(names, count),
                "affinity": affinity.values.ravel(),
                "low": self.low.ravel(),
                "high": self.high.ravel(),
            }
        )


class GramHistory:
    """What one pass keeps for the bootstrap: the upper triangle of each image's Gram matrix.

    Memory is bounded: when the triangles outgrow `kept_bytes`, neighbouring images are merged into groups of
    two, four, ... and whole groups are drawn, down to 20 groups.
    """

    def __init__(self, models: int, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._pairs = np.triu_indices(models, k=1)
        self._most = max(2 * FEWEST_GROUPS, kept_bytes // (8 * max(1, len(self._pairs[0]))))
        self._groups: list[Float64[np.ndarray, " pair"]] = []
        self._alive: list[Bool[np.ndarray, " model"]] = []
        self._size = 1

    def add(self, gram: Float64[np.ndarray, "model model"], alive: Bool[np.ndarray, " model"]) -> None:
        """Keep one image."""
        triangle = np.rint(gram[self._pairs] * GRAIN) / GRAIN
        if len(self._groups) == self._most and len(self._alive) % self._size == 0:
            self._merge()
        if len(self._alive) % self._size:  # the last group has room
            self._groups[-1] += triangle
        else:
            self._groups.append(triangle)
        self._alive.append(alive.copy())

    def _merge(self) -> None:
        pairs = zip(self._groups[::2], [*self._groups[1::2], None], strict=False)
        self._groups = [first if second is None else first + second for first, second in pairs]
        self._size *= 2

    def interval(self, affinity: Affinity, *, replicates: int, seed: int, level: float) -> Interval:
        """Percentile interval of every affinity from `replicates` draws of all images."""
        images, groups = len(self._alive), len(self._groups)
        rng = np.random.default_rng(seed)
        weights = rng.multinomial(groups, np.full(groups, 1 / groups), size=replicates).astype(np.float64)
        per_image = np.repeat(weights, self._size, axis=1)[:, :images]
        kept, alive = np.stack(self._groups), np.stack(self._alive).astype(np.float64)
        low, high = affinity.values.copy(), affinity.values.copy()
        tails = [(1 - level) / 2, (1 + level) / 2]
        step = max(1, BLOCK_BYTES // (8 * max(replicates, images)))
        for start in range(0, kept.shape[1], step):
            rows, columns = (axis[start : start + step] for axis in self._pairs)
            counts = per_image @ (alive[:, rows] * alive[:, columns])
            with np.errstate(invalid="ignore"):  # 0 / 0: a draw without a common image says nothing
                draws = weights @ kept[:, start : start + step] / counts
            quantile = np.quantile if counts.all() else np.nanquantile  # the latter is a hundred times slower
            ends = np.clip(quantile(draws, tails, axis=0), -1, 1)
            low[rows, columns] = low[columns, rows] = np.minimum(low[rows, columns], ends[0])
            high[rows, columns] = high[columns, rows] = np.maximum(high[rows, columns], ends[1])
        return Interval(affinity.models, low, high, level)
