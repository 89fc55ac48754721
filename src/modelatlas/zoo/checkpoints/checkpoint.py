"""A checkpoint file as what all formats have in common: arrays by name, read when they are asked for."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

__all__ = ["Checkpoint", "CheckpointFormat", "StoredArray"]

CheckpointFormat = Literal[
    "tensorflow-v1", "tensorflow-v2", "numpy", "matconvnet", "pickle", "torch", "safetensors"
]


@dataclass(frozen=True)
class StoredArray:
    """One array of a checkpoint, not read yet.

    Attributes
    ----------
    shape
        As stored, in the file's own axis order.
    read
        Reads, checks and returns it.
    """

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Checkpoint(Mapping[str, np.ndarray[Any, Any]]):
    """Arrays by name. Shapes are known at once; an array is read, and its checksum compared, at `[name]`.

    Attributes
    ----------
    path
        The file that was opened (of a TensorFlow V2 checkpoint its `.index`).
    format
        What it was found to be, by its content.
    arrays
        By name; the parts of nested names are joined by `/`.
    skipped
        Names of what is no array of numbers (texts, TensorFlow 2's object graph).
    """

    path: Path
    format: CheckpointFormat
    arrays: Mapping[str, StoredArray]
    skipped: tuple[str, ...] = ()
    files: tuple[Path, ...] = field(default=())

    def __post_init__(self) -> None:
        """Count the file itself where no others belong to it."""
        if not self.files:
            object.__setattr__(self, "files", (self.path,))

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        """Read an array.

        Raises
        ------
        KeyError
            No such name.
        CheckpointError
            It is damaged.
        """
        return self.arrays[name].read()

    def __iter__(self) -> Iterator[str]:
        """Names in the file's order."""
        return iter(self.arrays)

    def __len__(self) -> int:
        """Count the arrays."""
        return len(self.arrays)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of an array, without reading it."""
        return self.arrays[name].shape
