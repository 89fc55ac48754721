"""What `evaluate` and `compare` take: the matrix of an atlas, of a CSV file, of Taskonomy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from modelatlas.errors import InputError

if TYPE_CHECKING:
    from modelatlas.evaluation import TransferTable

__all__ = ["Matrix", "check_methods", "matrix_of", "read_table"]

SHIPPED: Final = {"taskonomy": "16k", "mini": "all"}
"""References by name, and which of their sets is meant where none is named."""


@dataclass(frozen=True)
class Matrix:
    """A table of affinities and what is known about its models."""

    table: "TransferTable"
    title: str
    method: str | None = None
    similarity: str | None = None
    tasks: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    untrained: tuple[str, ...] = ()


def matrix_of(text: str, *, method: str | None) -> Matrix:
    """Read an atlas, where `text` is a folder, else a table as `read_table` does."""
    if not Path(text).is_dir():
        table = read_table(text, expected="a CSV file or the folder of an atlas")
        return Matrix(table, title=table.origin)
    from modelatlas.atlas import open_atlas
    from modelatlas.evaluation import TransferTable

    atlas = open_atlas(text)
    chosen = method or atlas.default_method
    title = f"{text} ({atlas.basis(chosen)})"
    records = [record for record in atlas.models if record.charted]
    return Matrix(
        TransferTable.from_frame(atlas.affinity(chosen), origin=title),
        title,
        method=chosen,
        similarity=atlas.similarity,
        tasks={record.name: record.task for record in records if record.task},
        groups={record.name: record.group for record in records if record.group},
        untrained=tuple(record.name for record in records if record.name in atlas.untrained),
    )


def check_methods(first: Matrix, second: Matrix) -> None:
    """Refuse two methods that nobody chose: one atlas has the default, the other only another.

    Raises
    ------
    InputError
        Naming both.
    """
    if first.method and second.method and first.method != second.method:
        raise InputError(
            f"{first.title} and {second.title}: two methods; name one that both have with --method"
        )


def read_table(text: str, *, training_set: str | None = None, expected: str) -> "TransferTable":
    """Read `FILE`, `FILE:NAME` for one set of it, or a reference of that name: `taskonomy`, `mini:again`.

    Raises
    ------
    InputError
        There is no such file, what it holds is no table, or two training sets are named.
    """
    from modelatlas.evaluation import mini_transfers, read_transfers, taskonomy_transfers

    if Path(text).is_file():
        return read_transfers(text, training_set=training_set)
    file, _, chosen = text.rpartition(":") if ":" in text else (text, "", "")
    if file not in SHIPPED and not Path(file).is_file():
        raise InputError(f"{text}: no such file: name {expected}")
    if chosen and training_set and chosen != training_set:
        raise InputError(f"{text} and --training-set {training_set} differ: give one of them")
    if file not in SHIPPED:
        return read_transfers(file, training_set=chosen)
    shipped = taskonomy_transfers if file == "taskonomy" else mini_transfers
    return shipped(chosen or training_set or SHIPPED[file])
