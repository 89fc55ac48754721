"""The CSV tables of an atlas, read back bit by bit."""

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
    table = _read(path, _NAMELESS)
    return table.set_index(_NAMELESS).rename_axis(None)


def read_long(path: Path) -> pd.DataFrame:
    """Read a table with columns `source`, `target` and numbers; errors as `read_square`."""
    return _read(path, "source", "target")


def _read(path: Path, *names: str) -> pd.DataFrame:
    """Read a table; what the columns `names` hold stays text, "NA" and "007" too.

    Numbers are parsed by Python, which returns what was written; not every version of pandas does.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        numbers = {column: table[column].map(float) for column in table.columns if column not in names}
        return pd.concat([table[[*names]], pd.DataFrame(numbers, index=table.index)], axis=1)
    except FileNotFoundError as error:
        raise StoreError(
            f"{path} is missing: run the same `modelatlas chart` again, it is made anew"
        ) from error
    except (KeyError, ValueError, OSError) as error:
        raise StoreError(
            f"{path} is damaged ({error}): remove it and run the same `modelatlas chart` again"
        ) from error
