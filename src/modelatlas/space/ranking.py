"""Sources for a target: all other models, by falling affinity with it; ties by name (method.md)."""

import pandas as pd

from modelatlas.errors import InputError
from modelatlas.space.matrix import Affinity

__all__ = ["rank"]


def rank(affinity: Affinity, target: str, *, top: int | None = None) -> pd.DataFrame:
    """Rank the other models as sources for `target`, best first.

    Parameters
    ----------
    affinity
        Rows are sources, columns are targets.
    target
        One of its models; it is left out of its own ranking.
    top
        Sources to return, at least 1; all by default.

    Returns
    -------
        Columns `source` and `affinity`, at most `top` rows, index 0, 1, ...

    Raises
    ------
    InputError
        No model is called `target`, or `top` is below 1.
    """
    if top is not None and top < 1:
        raise InputError(f"top {top}: ask for at least one source")
    column = affinity.values[:, affinity.index(target)]
    sources = [(-value, name) for name, value in zip(affinity.models, column, strict=True) if name != target]
    ranked = sorted(sources)[:top]
    return pd.DataFrame(
        {"source": [name for _, name in ranked], "affinity": [float(-value) for value, _ in ranked]}
    )
