"""Where things lie in an atlas folder.

    atlas.json                     what was made, of what, with which settings (document.py)
    probe.json                     the probe's manifest
    thumbnails.npz                 small pictures of the first probe images (thumbnails.py)
    affinity/ tree/ figures/       results; report.html
    maps.zarr/<key>/<method>       unit maps, float16 [image, grid, grid], one chunk a shard (maps.py)
    maps.zarr/<key>/<method>.norms their lengths before, float32 [image]
    journal/<key>/model.json       what fixes a model's numbers, written before its first map (journal.py)
    journal/<key>/<shard>.json     which images of the shard are done, written after their maps
    .lock .worker.lock             held by the processes that write (lock.py)

<key> is the model's name as a file name: readable, and unique by its checksum.
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

__all__ = ["SHARD", "Layout", "model_key"]

SHARD: Final = 32
"""Images of a shard: a chunk of the store, and the unit of work that a killed run repeats at most."""


def model_key(name: str) -> str:
    """Give the folder name of a model: what is plain in its name, and ten digits of its SHA-256."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:60]
    return f"{plain}-{sha256(name.encode()).hexdigest()[:10]}".lower().lstrip("-")


@dataclass(frozen=True)
class Layout:
    """Paths below the folder `root`."""

    root: Path

    @property
    def document(self) -> Path:
        """The file that says what the atlas is."""
        return self.root / "atlas.json"

    @property
    def manifest(self) -> Path:
        """The probe's manifest."""
        return self.root / "probe.json"

    @property
    def thumbnails(self) -> Path:
        """Small pictures of probe images."""
        return self.root / "thumbnails.npz"

    @property
    def maps(self) -> Path:
        """The Zarr store."""
        return self.root / "maps.zarr"

    @property
    def journal(self) -> Path:
        """What is done."""
        return self.root / "journal"

    def affinity(self, method: str) -> Path:
        """Square matrix of a method."""
        return self.root / "affinity" / f"{method}.csv"

    def interval(self, method: str) -> Path:
        """Long table of a method's affinities with their intervals."""
        return self.root / "affinity" / f"{method}.ci.csv"

    def tree(self, method: str) -> Path:
        """Newick tree of a method."""
        return self.root / "tree" / f"{method}.nwk"
