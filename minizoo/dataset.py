"""Pictures and labels of a split as plain arrays on disk, mapped into memory: training decodes nothing.

A split is a folder: `pictures.npy` (uint8 [view, 128, 128, 3]), `views.json` (the views' names, and the
digest of what made them), and one `<label>.npy` each, with axes as the losses want them: [view, channel,
64, 64] with NaN where invalid, [view, row, column] class (-1 where masked) or segment numbers, [view,
value], [view] classes.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from minizoo.errors import SpoiltViewError
from minizoo.losses import Goal, Task, mirror

__all__ = ["Batch", "Views", "batches", "open_views", "order", "write_views"]


@dataclass(frozen=True)
class Views:
    """Views of one split; row i of every array is the view `names[i]`."""

    names: tuple[str, ...]
    pictures: np.ndarray
    labels: Mapping[str, np.ndarray]
    digest: str

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.names)

    def label(self, task: Task) -> np.ndarray | None:
        """Return the label of a task, or None where the picture is the target."""
        return self.labels[task.target] if task.target else None

    def take(self, rows: Sequence[int] | np.ndarray) -> "Views":
        """Copy some of the views into memory."""
        rows = np.asarray(rows)
        text = f"{self.digest}{rows.tolist()}"
        labels = {name: values[rows] for name, values in self.labels.items()}
        digest = hashlib.sha256(text.encode()).hexdigest()
        return Views(tuple(self.names[i] for i in rows), self.pictures[rows], labels, digest)


@dataclass(frozen=True)
class Batch:
    """Pictures in [-1, 1], channels last in memory, and the wanted answers of one task."""

    rows: np.ndarray
    pictures: Tensor
    target: Tensor


def write_views(
    folder: Path, *, names: Sequence[str], pictures: np.ndarray, labels: Mapping[str, np.ndarray], digest: str
) -> None:
    """Write a split beside its place, then move it there: a reader finds all of it or nothing."""
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        np.save(draft / "pictures.npy", pictures)
        for name, values in labels.items():
            np.save(draft / f"{name}.npy", values)
        about = {"digest": digest, "labels": sorted(labels), "names": list(names)}
        (draft / "views.json").write_text(json.dumps(about))
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def open_views(folder: Path) -> Views:
    """Map a split into memory.

    Raises
    ------
    SpoiltViewError
        The folder is incomplete, or an array has not one row a view.
    """
    try:
        about = json.loads((folder / "views.json").read_text())
        pictures = np.load(folder / "pictures.npy", mmap_mode="r")
        labels = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in about["labels"]}
    except (OSError, ValueError, KeyError) as error:
        raise SpoiltViewError(folder, f"not a complete split ({error})") from error
    names = tuple(about["names"])
    for name, values in {"pictures": pictures, **labels}.items():
        if len(values) != len(names):
            raise SpoiltViewError(folder / f"{name}.npy", f"{len(values)} rows for {len(names)} views")
    return Views(names, pictures, labels, about["digest"])


def order(count: int, *, seed: int, epoch: int) -> np.ndarray:
    """Return the order of the views in an epoch: the same for every task, whatever ran before."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def batches(
    views: Views, goal: Goal, rows: np.ndarray, *, size: int, flips: np.random.Generator | None = None
) -> Iterator[Batch]:
    """Cut `rows` into batches; a last one of a single view is left out (BatchNorm needs two).

    Parameters
    ----------
    flips
        Mirrors half of the views, drawn from this generator; None: none.
    """
    label = views.label(goal.task)
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        mirrored = np.zeros(len(part), bool) if flips is None else flips.random(len(part)) < 0.5
        if flips is not None and len(part) < 2:
            return
        pixels = views.pictures[part]
        pixels[mirrored] = pixels[mirrored, :, ::-1]
        pictures = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
        wanted = None
        if label is not None:
            wanted = torch.from_numpy(np.array(label[part]))
            wanted = mirror(goal.task, wanted, torch.from_numpy(mirrored))
        yield Batch(part, pictures, goal.target(pictures, wanted))
