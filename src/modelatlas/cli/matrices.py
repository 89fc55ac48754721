"""What `evaluate` and `compare` take: the matrix of an atlas, or of a CSV file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from modelatlas._types import DEFAULT_METHOD
from modelatlas.errors import InputError

if TYPE_CHECKING:
    from modelatlas.evaluation import TransferTable

__all__ = ["Matrix", "matrix_of", "read_csv"]


@dataclass(frozen=True)
class Matrix:
    """A table of affinities and what is known about its models."""

    table: "TransferTable"
    title: str
    method: str | None = None
    tasks: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    untrained: tuple[str, ...] = ()


def matrix_of(path: Path | str, *, method: str | None) -> Matrix:
    """Read an atlas, where `path` is a folder, else a CSV file."""
    if not Path(path).is_dir():
        table = read_csv(str(path), expected="a CSV file or the folder of an atlas")
        return Matrix(table, title=table.origin)
    from modelatlas.atlas import open_atlas
    from modelatlas.evaluation import TransferTable

    atlas, chosen = open_atlas(path), method or DEFAULT_METHOD
    title = f"{path} ({chosen})"
    records = [record for record in atlas.models if record.charted]
    return Matrix(
        TransferTable.from_frame(atlas.affinity(chosen), origin=title),
        title,
        method=chosen,
        tasks={record.name: record.task for record in records if record.task},
        groups={record.name: record.group for record in records if record.group},
        untrained=tuple(record.name for record in records if not record.trained),
    )


def read_csv(text: str, *, training_set: str | None = None, expected: str) -> "TransferTable":
    """Read `FILE`, or one training set of it: `FILE:NAME`.

    Raises
    ------
    InputError
        There is no such file, or what it holds is no table.
    """
    from modelatlas.evaluation import read_transfers

    if Path(text).is_file():
        return read_transfers(text, training_set=training_set)
    file, colon, chosen = text.rpartition(":")
    if colon and Path(file).is_file():
        return read_transfers(file, training_set=chosen)
    raise InputError(f"{text}: no such file: name {expected}")
