"""A square matrix of affinities with the names of its models: a matrix never travels without labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int

from modelatlas.errors import InputError

__all__ = ["Affinity", "unique_names"]


@dataclass(frozen=True, eq=False)
class Affinity:
    """Affinity of every pair of models; rows are sources, columns are targets.

    Attributes
    ----------
    models
        Names, in the order of rows and columns.
    values
        Symmetric, unit diagonal, in [-1, 1], without unit. Read-only.
    counts
        Probe images on which both maps are alive; None where the matrix was read without them. Read-only.
    """

    models: tuple[str, ...]
    values: Float64[np.ndarray, "model model"]
    counts: Int[np.ndarray, "model model"] | None = None

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for array in (self.values, self.counts):
            if array is not None:
                array.flags.writeable = False

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> "Affinity":
        """Of a square DataFrame with the same names, in the same order, as index and columns.

        Raises
        ------
        InputError
            Rows and columns do not carry the same names in the same order, or a name twice.
        """
        models = unique_names([str(name) for name in frame.index])
        if models != tuple(str(name) for name in frame.columns):
            raise InputError("affinity: rows and columns must carry the same names in the same order")
        return cls(models, np.array(frame.to_numpy(), dtype=np.float64))

    def frame(self) -> pd.DataFrame:
        """As a DataFrame, names as index and columns; its `to_csv()` is the CSV of an atlas."""
        return pd.DataFrame(self.values.copy(), index=list(self.models), columns=list(self.models))

    def index(self, model: str) -> int:
        """Row, and column, of `model`.

        Raises
        ------
        InputError
            No model has that name; the message offers the nearest names.
        """
        if model in self.models:
            return self.models.index(model)
        near = get_close_matches(model, self.models, n=3, cutoff=0.4) or self.models[:3]
        raise InputError(f"no model {model!r} among {len(self.models)}: did you mean {', '.join(near)}?")


def unique_names(models: Sequence[str]) -> tuple[str, ...]:
    """Names as a tuple; `InputError` where two are equal."""
    seen: set[str] = set()
    for name in models:
        if name in seen:
            raise InputError(f"two models are called {name!r}: give each its own name")
        seen.add(name)
    return tuple(models)
