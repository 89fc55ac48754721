"""What the atlas found, in a sentence or two, with what limits it."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from modelatlas.report.contents import Labels, Matrix, method_title
from modelatlas.report.numbers import digits_of

__all__ = ["Finding", "Pair", "finding", "pair"]

NEXT_TO_NOTHING: Final = 0.05


@dataclass(frozen=True)
class Pair:
    """Two models, their affinity and the ends of its interval."""

    first: str
    second: str
    affinity: float
    low: float
    high: float


@dataclass(frozen=True)
class Finding:
    """The nearest pair of trained models, and whether it is clearly the nearest.

    Attributes
    ----------
    nearest
        None where there are not two models to compare.
    rival
        The next pair, where its interval reaches into that of the nearest.
    loner
        The model whose nearest other one is farthest, with that one; from three models on.
    untrained
        Only untrained models were there to compare.
    digits
        After the point, of the affinities.
    """

    method: str
    nearest: Pair | None
    rival: Pair | None
    loner: Pair | None
    untrained: bool
    digits: int

    @property
    def nothing(self) -> bool:
        """Whether even the nearest pair has next to nothing in common."""
        return self.nearest is not None and self.nearest.affinity < NEXT_TO_NOTHING


def finding(matrix: Matrix, labels: Labels) -> Finding:
    """Find nearest pair and loner among trained models; among all where fewer than two are trained."""
    trained = [i for i, model in enumerate(matrix.models) if model not in labels.untrained]
    among = trained if len(trained) > 1 else list(range(len(matrix.models)))
    pairs = sorted(
        (pair(matrix, i, j) for place, i in enumerate(among) for j in among[place + 1 :]),
        key=lambda one: (-one.affinity, one.first, one.second),
    )
    rival = pairs[1] if len(pairs) > 1 and pairs[1].high >= pairs[0].low else None
    return Finding(
        method_title(matrix.method),
        pairs[0] if pairs else None,
        rival,
        _loner(matrix, among) if len(among) > 2 else None,
        untrained=len(trained) < 2,
        digits=digits_of(matrix.values),
    )


def _loner(matrix: Matrix, among: list[int]) -> Pair:
    values = matrix.values[np.ix_(among, among)] - 3 * np.eye(len(among))  # itself is no neighbour
    lonely = int(np.argmin(values.max(axis=1)))
    return pair(matrix, among[lonely], among[int(np.argmax(values[lonely]))])


def pair(matrix: Matrix, i: int, j: int) -> Pair:
    """Affinity of row i and column j."""
    numbers = (float(of[i, j]) for of in (matrix.values, matrix.low, matrix.high))
    return Pair(matrix.models[i], matrix.models[j], *numbers)
