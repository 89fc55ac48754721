"""Affinity from unit maps, one block of images at a time.

    affinity(i, j) = sum_p s(v_ip, v_jp) / #{p: both alive}     (docs/method.md, step 4)

over the probe images p on which both maps are alive, s one of `SIMILARITIES`, by default the inner product;
1 on the diagonal by definition. The sums are exact (see `exact`), so neither the blocks nor the order of
images or models changes a bit of the result.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from modelatlas.errors import EmptyOverlapError, InputError
from modelatlas.space.bootstrap import GramHistory, Interval
from modelatlas.space.exact import ExactSum, gram
from modelatlas.space.matrix import Affinity, unique_names
from modelatlas.space.similarity import SIMILARITIES, correlations

__all__ = ["AffinityAccumulator", "affinity"]

FEWEST_REPLICATES: Final = 100


class AffinityAccumulator:
    """Collects blocks of stored maps and gives the affinity, and its bootstrap intervals, at the end.

    Parameters
    ----------
    models
        Names, in the order of the blocks' first axis.
    similarity
        One of `SIMILARITIES`.
    signed
        Whether the maps have signs, which `correlation` leaves out.
    bootstrap
        Replicates of the bootstrap over images: at least 100, or 0 to keep nothing for it.
    seed
        Of the bootstrap.
    """

    def __init__(
        self,
        models: Sequence[str],
        *,
        similarity: str = "cosine",
        signed: bool = False,
        bootstrap: int = 0,
        seed: int = 0,
    ) -> None:
        if similarity not in SIMILARITIES:
            raise InputError(f"unknown similarity {similarity!r}: choose from {', '.join(SIMILARITIES)}")
        if 0 < bootstrap < FEWEST_REPLICATES:
            raise InputError(f"{bootstrap} bootstrap replicates: take 0, or at least {FEWEST_REPLICATES}")
        self.models = unique_names(models)
        self._similarity, self._signed = similarity, signed
        shape = (len(self.models), len(self.models))
        self._sum = ExactSum(shape)
        self._counts = np.zeros(shape, dtype=np.int64)
        self._images = 0
        self._bootstrap, self._seed = bootstrap, seed
        self._history = GramHistory(len(self.models)) if bootstrap else None

    def add(
        self, block: Float[np.ndarray, "model image cell"], alive: Bool[np.ndarray, "model image"]
    ) -> None:
        """Add the maps of some images: float16 as stored, or float32; unit L2 norm where alive.

        Raises
        ------
        InputError
            The block does not fit the models, or a living map has no unit norm.
        """
        if block.shape[:2] != alive.shape or len(block) != len(self.models):
            raise InputError(
                f"maps {block.shape} and alive {alive.shape} do not fit {len(self.models)} models: "
                "give [model, image, cell] and [model, image]"
            )
        for image in range(block.shape[1]):
            living = alive[:, image]
            if self._similarity == "cosine":
                products = alike = gram(block[:, image], alive=living)
            else:
                products, alike = correlations(block[:, image], alive=living, signed=self._signed)
            self._check_norms(products.diagonal(), living)
            self._sum.add(alike)
            self._counts += np.outer(living, living)
            if self._history is not None:
                self._history.add(alike, living)
            self._images += 1

    def _check_norms(self, squares: Float[np.ndarray, " model"], alive: Bool[np.ndarray, " model"]) -> None:
        # float16 moves the squared norm by at most 0.1 %, a forgotten normalisation by far more.
        wrong = np.flatnonzero(alive & ~(np.abs(squares - 1) < 0.02))
        if len(wrong):
            raise InputError(
                f"{self.models[wrong[0]]}: map of image {self._images} has squared norm "
                f"{squares[wrong[0]]:.3g}, not 1: normalise each map before, or mark it as dead"
            )

    def result(self) -> Affinity:
        """Affinity of all images so far.

        Raises
        ------
        EmptyOverlapError
            Two models have no image on which both maps are alive.
        """
        counts = self._counts.copy()
        empty = np.argwhere(np.triu(counts == 0, k=1))
        if len(empty):
            raise EmptyOverlapError(*(self.models[i] for i in empty[0]))
        # Rounding to float16 can lift the product of two equal maps to 1.001.
        values = np.clip(self._sum.total() / np.maximum(counts, 1), -1, 1)
        np.fill_diagonal(values, 1)
        return Affinity(self.models, values, counts)

    def interval(self, level: float = 0.95) -> Interval:
        """Bootstrap interval over images of every affinity.

        Raises
        ------
        InputError
            The accumulator was made without `bootstrap`, or `level` is not in (0, 1).
        EmptyOverlapError
            Two models have no image on which both maps are alive.
        """
        if self._history is None or not 0 < level < 1:
            raise InputError(
                f"no interval of level {level} from {self._bootstrap} replicates: "
                "take a level in (0, 1) and AffinityAccumulator(models, bootstrap=1000)"
            )
        return self._history.interval(self.result(), replicates=self._bootstrap, seed=self._seed, level=level)


def affinity(
    vectors: Float[np.ndarray, "model probe cell"],
    *,
    models: Sequence[str],
    similarity: str = "cosine",
    signed: bool = False,
) -> Affinity:
    """Mean similarity, by default cosine, between the attribution maps of every pair of models.

    values[i, j] = sum_p s(v_ip, v_jp) / #{p: both alive}     (docs/method.md, step 4)

    Parameters
    ----------
    vectors
        One unit map vector (float16 or float32) per model and probe image, zeros where dead.
    models
        Names, in the order of the first axis.
    similarity, signed
        As of `AffinityAccumulator`.

    Returns
    -------
        Symmetric, unit diagonal, in [-1, 1], without unit; summed in float64 without rounding.

    Raises
    ------
    EmptyOverlapError
        Two models have no image on which both maps are alive.
    InputError
        Two models have one name, a map is neither zero nor of unit norm, or no such similarity.
    """
    collected = AffinityAccumulator(models, similarity=similarity, signed=signed)
    collected.add(vectors, np.any(vectors, axis=2))
    return collected.result()
