"""The probe: an ordered set of unlabelled images, each with a checksum, and where they come from."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float32, UInt8

from modelatlas.errors import InputError
from modelatlas.probe.ahead import in_order
from modelatlas.probe.files import read_picture

__all__ = [
    "FORMAT",
    "VERSION",
    "Batch",
    "LeftOut",
    "Probe",
    "ProbeImage",
    "Progress",
    "batches",
    "check_count",
]

FORMAT: Final = "modelatlas-probe"
VERSION: Final = 1

Progress = Callable[[str, int, int], None]
"""Called with what is being done ("reading", "decoding", "building"), how many are done, and of how many."""


@dataclass(frozen=True)
class LeftOut:
    """A file of the probe that is not used, and why."""

    item: str
    reason: str


@dataclass(frozen=True)
class ProbeImage:
    """One image of a probe.

    Attributes
    ----------
    id
        Name within the probe, unique and printable: its path below the folder.
    path
        The file.
    sha256
        Of the file's bytes (hex).
    bytes, width, height
        Size of the file, and of the whole picture in pixels, upright.
    photograph
        What it shows a part of, where several images of a probe are cut from one photograph; else None.
    source, licence
        Package or author, and terms, where known.
    """

    id: str
    path: Path
    sha256: str
    bytes: int
    width: int
    height: int
    photograph: str | None = None
    source: str | None = None
    licence: str | None = None


@dataclass(frozen=True)
class Probe:
    """An ordered set of images that every model is shown.

    Attributes
    ----------
    name
        A built-in probe's name, or that of the folder.
    images
        The usable ones, in order.
    digest
        SHA-256 over id and checksum of the whole ordered pool that `images` was taken from. A prefix of the
        same pool has the same digest; other content, other order, another seed have another.
    left_out
        Files that are not used: unreadable kinds, twins, and what failed on the way to `images`.
    root
        Folder that the manifest's paths are relative to.
    source, rule, seed
        Where the pool comes from, how the images were chosen and ordered, with which seed.
    pool
        Number of distinct files that the images were chosen from.
    """

    name: str
    images: tuple[ProbeImage, ...]
    digest: str
    left_out: tuple[LeftOut, ...]
    root: Path
    source: str
    rule: str
    seed: int
    pool: int

    def __len__(self) -> int:
        """Count the images."""
        return len(self.images)

    def square(self, index: int) -> UInt8[np.ndarray, "side side 3"]:
        """Centre square of one image at native resolution, RGB, 0..255.

        Raises
        ------
        ProbeError
            The file has gone, or has other bytes than when the probe was opened.
        """
        image = self.images[index]
        return read_picture(image.path, name=image.id, sha256=image.sha256).square

    def take(self, count: int) -> "Probe":
        """Keep the first images; the digest stays.

        Raises
        ------
        InputError
            There are fewer, or `count` is no whole number of at least 1.
        """
        check_count(count)
        if count > len(self.images):
            raise InputError(
                f"{count} images were asked of the probe {self.name}, which has {len(self.images)}"
            )
        return replace(self, images=self.images[:count])

    def manifest(self) -> dict[str, Any]:
        """Plain values that say which images these are; as a JSON file in `root`, `open_probe` reads them."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "source": self.source,
            "rule": self.rule,
            "seed": self.seed,
            "pool": self.pool,
            "digest": self.digest,
            "images": [_entry(image, self.root) for image in self.images],
            "left_out": [asdict(left) for left in self.left_out],
        }


def check_count(images: object) -> None:
    """Refuse what is no number of images: only whole numbers from 1 on are."""
    if isinstance(images, bool) or not isinstance(images, Integral) or images < 1:
        raise InputError(f"{images!r} images were asked for: give a whole number of at least 1")


def _entry(image: ProbeImage, root: Path) -> dict[str, Any]:
    values = {key: value for key, value in asdict(image).items() if value is not None}
    return values | {"path": image.path.relative_to(root).as_posix()}


@dataclass(frozen=True, eq=False)
class Batch:
    """Network inputs of some images of a probe.

    Attributes
    ----------
    indices
        Which images, counted from 0 in the probe's order.
    inputs
        What `transform` made of their squares.
    """

    indices: tuple[int, ...]
    inputs: Float32[np.ndarray, "image channel height width"]


def batches(
    probe: Probe,
    transform: Callable[[UInt8[np.ndarray, "side side 3"]], Float32[np.ndarray, "channel height width"]],
    *,
    batch: int,
    workers: int = 2,
    indices: Sequence[int] | None = None,
) -> Iterator[Batch]:
    """Network inputs in the probe's order, decoded by threads while the caller computes.

    At most `batch + workers` inputs wait beyond the batch that the caller holds. Leaving the loop, or closing
    the iterator, stops the threads.

    Parameters
    ----------
    transform
        Makes a network's input of a square, RGB 0..255; it is called in several threads at once.
    batch
        Images a batch, at least 1; the last one may be smaller.
    workers
        Threads.
    indices
        Which images, in which order; all by default.

    Raises
    ------
    ProbeError
        A file has gone or changed.
    """
    chosen = range(len(probe)) if indices is None else indices

    def one(index: int) -> np.ndarray:
        return transform(probe.square(index))

    with closing(in_order(one, chosen, workers=workers, ahead=batch + workers)) as inputs:
        for start in range(0, len(chosen), batch):
            part = tuple(chosen[start : start + batch])
            yield Batch(part, np.stack([next(inputs) for _ in part]))
