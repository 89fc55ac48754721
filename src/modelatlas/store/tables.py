"""The CSV tables of an atlas, read back bit by bit."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Final

import pandas as pd

from modelatlas.errors import StoreError

__all__ = ["read_long", "read_square"]

_NAMELESS: Final = "Unnamed: 0"
"""What pandas calls a first header cell that is empty."""


def read_square(path: Path) -> pd.DataFrame:
    """Read a matrix with names as header and first column.

    Raises
    ------
    StoreError
        The file is missing or damaged.
    """
    table = _read(path, _NAMELESS).set_index(_NAMELESS).rename_axis(None)
    if table.empty or list(table.index) != list(table.columns) or not table.index.is_unique:
        raise _damaged(path, "rows and columns do not carry the same names")
    return table


def read_long(path: Path, *, models: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table with columns `source`, `target` and numbers; errors as `read_square`.

    With `models`, a table that does not hold each ordered pair of them, row by row, is damaged.
    """
    table = _read(path, "source", "target")
    if models is not None and [*zip(table.source, table.target, strict=True)] != [*product(models, models)]:
        raise _damaged(path, f"it does not hold every pair of {len(models)} models")
    return table


def _read(path: Path, *names: str) -> pd.DataFrame:
    """Read a table; what the columns `names` hold stays text, "NA" and "007" too.

    Numbers are parsed by Python, which returns what was written; not every version of pandas does.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        numbers = {column: table[column].map(float) for column in table.columns if column not in names}
        found = pd.concat([table[[*names]], pd.DataFrame(numbers, index=table.index)], axis=1)
    except FileNotFoundError as error:
        raise StoreError(
            f"{path} is missing: run the same `modelatlas chart` again, it is made anew"
        ) from error
    except (KeyError, ValueError, OSError) as error:
        raise _damaged(path, error) from error
    if found.isna().any(axis=None):  # a row that is cut off
        raise _damaged(path, "a number is missing")
    return found


def _damaged(path: Path, how: object) -> StoreError:
    return StoreError(f"{path} is damaged ({how}): remove it and run the same `modelatlas chart` again")
