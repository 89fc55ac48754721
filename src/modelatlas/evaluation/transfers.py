"""Tables of transfers, predicted or measured, and how they are read from CSV.

Rows are sources, columns are targets, higher is better. A file has one of two forms:

- long: a header with the columns `source`, `target`, `affinity`, in any order, others are ignored; where a
  column `training_set` has several values, one must be chosen; pairs without a row were not measured;
- square: a header and a first column that carry the same names; the first header cell may hold anything.
"""

import csv
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float64

from modelatlas.errors import InputError

__all__ = ["TransferTable", "read_transfers"]


@dataclass(frozen=True, eq=False)
class TransferTable:
    """Affinity of sources with targets.

    Attributes
    ----------
    origin
        File or name it came from, for messages and titles.
    sources, targets
        Names of rows and columns.
    values
        Any scale, higher is better; NaN where a pair was not measured. Read-only.
    """

    origin: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    values: Float64[np.ndarray, "source target"]

    def __post_init__(self) -> None:
        """Make the values read-only."""
        self.values.flags.writeable = False

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, *, origin: str) -> "TransferTable":
        """Of a DataFrame with sources as index and targets as columns; NaN where a pair was not measured.

        Raises
        ------
        InputError
            A name stands twice, or a value is infinite.
        """
        sources, targets = (tuple(map(str, labels)) for labels in (frame.index, frame.columns))
        for names in (sources, targets):
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise InputError(f"{origin}: the name {twice!r} stands twice: give each model its own name")
        values = np.array(frame.to_numpy(), dtype=np.float64)
        if np.isinf(values).any():
            raise InputError(f"{origin}: holds an infinite affinity: leave such pairs out")
        return cls(origin, sources, targets, values)

    @classmethod
    def from_pairs(
        cls, pairs: Mapping[tuple[str, str], float], *, origin: str, order: Sequence[str] = ()
    ) -> "TransferTable":
        """Of affinities by (source, target); names in `order` first, the others as they come."""
        ranks = {name: place for place, name in enumerate(order)}

        def sort(names: Iterable[str]) -> tuple[str, ...]:
            return tuple(sorted(dict.fromkeys(names), key=lambda name: ranks.get(name, len(ranks))))

        sources, targets = sort(source for source, _ in pairs), sort(target for _, target in pairs)
        rows, columns = ({name: k for k, name in enumerate(names)} for names in (sources, targets))
        values = np.full((len(sources), len(targets)), np.nan)
        places = [rows[source] for source, _ in pairs], [columns[target] for _, target in pairs]
        values[places] = list(pairs.values())
        return cls(origin, sources, targets, values)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name once: sources, then targets that are no source."""
        return tuple(dict.fromkeys([*self.sources, *self.targets]))

    def frame(self) -> pd.DataFrame:
        """As a DataFrame, sources as index and targets as columns."""
        return pd.DataFrame(self.values.copy(), index=list(self.sources), columns=list(self.targets))

    def select(self, sources: Sequence[str], targets: Sequence[str]) -> "TransferTable":
        """Rows and columns of these names, in this order."""
        rows, columns = ({name: k for k, name in enumerate(names)} for names in (self.sources, self.targets))
        index = np.ix_([rows[name] for name in sources], [columns[name] for name in targets])
        return type(self)(self.origin, tuple(sources), tuple(targets), self.values[index])

    def without(self, names: Collection[str]) -> "TransferTable":
        """All but these names, as sources and as targets."""
        kept = ([name for name in side if name not in names] for side in (self.sources, self.targets))
        return self.select(*kept)

    def renamed(self, names: Mapping[str, str]) -> "TransferTable":
        """Only the names in `names`, called as it says."""
        kept = self.without(set(self.names) - set(names))
        sources, targets = (tuple(names[name] for name in side) for side in (kept.sources, kept.targets))
        return type(self)(self.origin, sources, targets, kept.values)


def read_transfers(path: Path | str, *, training_set: str | None = None) -> TransferTable:
    """Read a CSV file in long or square form.

    Parameters
    ----------
    path
        UTF-8, with a header.
    training_set
        Which value of the column `training_set` to take; needed where there are several.

    Raises
    ------
    InputError
        The file cannot be read, has neither form, is not square, names a model or pair twice, or holds
        something that is no finite number; the message names file, row and remedy.
    """
    path = Path(path)
    rows = _rows(path)
    header = [cell.strip() for cell in next(rows, (0, []))[1]]
    if {"source", "target", "affinity"} <= set(header):
        return _read_long(path, header, rows, training_set)
    if training_set is not None:
        raise InputError(
            f"{path}: has no column 'training_set' to take {training_set!r} from: "
            "leave --training-set out, or name a file in long form"
        )
    if len(header) < 2:
        raise InputError(_neither(path))
    return _read_square(path, header[1:], rows)


def _neither(path: Path) -> str:
    return (
        f"{path}: row 1: neither form: write the columns source, target, affinity, "
        "or a square matrix with the same names in the first row and the first column"
    )


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Lines that are not empty, with the number of the line each ends on."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, skipinitialspace=True)
            for row in reader:
                if any(row):
                    yield reader.line_num, row
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 ({error.reason}): save it as UTF-8 CSV") from error
    except csv.Error as error:
        raise InputError(f"{path}: row {reader.line_num}: not CSV ({error})") from error


def _number(path: Path, row: int, text: str, source: str, target: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isfinite(value):
        return value
    raise InputError(
        f"{path}: row {row}: affinity of {source!r} with {target!r} is {text.strip()!r}, "
        "not a finite number: correct it, or leave the pair out (long form: no row for it)"
    )


def _read_long(
    path: Path, header: list[str], rows: Iterator[tuple[int, list[str]]], training_set: str | None
) -> TransferTable:
    for name in ("source", "target", "affinity", "training_set"):
        if header.count(name) > 1:
            raise InputError(f"{path}: row 1: two columns are called {name!r}: keep one")
    if training_set is not None and "training_set" not in header:
        raise InputError(f"{path}: has no column 'training_set': leave --training-set out")
    source, target, affinity = (header.index(name) for name in ("source", "target", "affinity"))
    chooser = header.index("training_set") if "training_set" in header else None
    pairs: dict[str, dict[tuple[str, str], float]] = {}
    for number, row in rows:
        if len(row) != len(header):
            raise InputError(
                f"{path}: row {number}: {len(row)} cells, but the header has {len(header)}: "
                "quote names that hold a comma"
            )
        which = row[chooser].strip() if chooser is not None else ""
        chosen = pairs.setdefault(which, {})
        if training_set is not None and which != training_set:
            continue
        pair = (row[source].strip(), row[target].strip())
        if "" in pair:
            raise InputError(f"{path}: row {number}: source or target is empty: name both")
        if pair in chosen:
            raise InputError(f"{path}: row {number}: {pair[0]!r} with {pair[1]!r} stands twice: keep one row")
        chosen[pair] = _number(path, number, row[affinity], *pair)
    return TransferTable.from_pairs(_one_set(path, pairs, training_set), origin=_title(path, training_set))


def _one_set(
    path: Path, pairs: Mapping[str, dict[tuple[str, str], float]], training_set: str | None
) -> dict[tuple[str, str], float]:
    if not pairs:
        raise InputError(f"{path}: a header and no rows: add one for each source and target")
    known = ", ".join(pairs)
    if training_set is not None and training_set not in pairs:
        raise InputError(f"{path}: no row of the training set {training_set!r}: choose one of {known}")
    if training_set is None and len(pairs) > 1:
        raise InputError(f"{path}: several training sets ({known}): choose one with --training-set")
    return pairs[training_set] if training_set is not None else next(iter(pairs.values()))


def _read_square(path: Path, columns: list[str], rows: Iterator[tuple[int, list[str]]]) -> TransferTable:
    for name in columns:
        if columns.count(name) > 1:
            raise InputError(f"{path}: row 1: two columns are called {name!r}: give each model its own name")
    values: dict[str, list[float]] = {}
    lines: dict[str, int] = {}
    for number, row in rows:
        name = row[0].strip()
        if name not in columns and not set(columns) & set(lines):
            raise InputError(_neither(path))
        if name in values:
            raise InputError(f"{path}: row {number}: {name!r} again, first in row {lines[name]}: keep one")
        if name not in columns:
            raise InputError(
                f"{path}: row {number}: not square: {name!r} has a row and no column: add it, or drop it"
            )
        if len(row) != len(columns) + 1:
            raise InputError(
                f"{path}: row {number}: {len(row) - 1} values, but the header names {len(columns)} targets"
            )
        lines[name] = number
        values[name] = [
            _number(path, number, cell, name, target) for cell, target in zip(row[1:], columns, strict=True)
        ]
    missing = [name for name in columns if name not in values]
    if missing:
        raise InputError(
            f"{path}: not square: {missing[0]!r} has a column and no row "
            f"({len(missing)} of {len(columns)}): add the row, or use the long form"
        )
    matrix = np.array([values[name] for name in columns])
    return TransferTable(_title(path), tuple(columns), tuple(columns), matrix)


def _title(path: Path, training_set: str | None = None) -> str:
    return f"{path}:{training_set}" if training_set else str(path)
