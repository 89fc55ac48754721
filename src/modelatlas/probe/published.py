"""The probe sets of the paper, `taskonomy`, `indoor`, `coco`: data sets that lie where the user has them.

`published.toml` says how their files are called, where they lie in every layout that is in use, and how many
images of which groups a set has. Nothing of them is redistributed. An image's id does not depend on the
layout, so that two copies of a data set give one probe with one digest.
"""

import os
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

from modelatlas.errors import InputError
from modelatlas.fetch import ArchiveKind, cache_root

__all__ = ["DATA_SETS", "OnDisk", "PublishedSet", "data_folder", "published_probes"]

DATA_SETS: Final = "MODELATLAS_DATASETS"
"""Environment variable: a folder with the data sets, one folder each, named as the probes."""


@dataclass(frozen=True)
class OnDisk:
    """Where a published set lies, and how its images are chosen.

    Attributes
    ----------
    root
        Folder of the data set; None: below $MODELATLAS_DATASETS, else what `fetch_published` brought.
    listing
        File with one path a line, instead of the authors' own list from their repository.
    draw
        Choose by the paper's rule and the seed, without a list.
    """

    root: Path | None = None
    listing: Path | None = None
    draw: bool = False


@dataclass(frozen=True)
class PublishedSet:
    """What is known of a published set (`published.toml` says what each entry means)."""

    name: str
    summary: str
    source: str
    licence: str
    origin: str
    each: int
    groups: int
    path: str
    id: str
    layouts: tuple[str, ...]
    list_url: str
    list_sha256: str
    group_names: tuple[str, ...] = ()
    archive: str | None = None
    archive_kind: ArchiveKind | None = None

    @property
    def count(self) -> int:
        """Images of the whole set."""
        return self.each * self.groups

    def identify(self, path: str) -> dict[str, str] | None:
        """Tell group and file from a path in a list or an archive, whatever folders stand before."""
        found = re.fullmatch(rf"(?:.*/)?{self.path}", path)
        return None if found is None else {"group": "", **found.groupdict()}

    def image(self, path: str) -> str | None:
        """Tell the id of the image that a path in a list or an archive names; else None."""
        parts = self.identify(path)
        return None if parts is None else self.id.format(**parts)

    def place(self, parts: dict[str, str], root: Path) -> Path | None:
        """File of an image below the data set's folder, in the first layout that has it; else None."""
        for layout in self.layouts:
            path = root / layout.format(**parts)
            if path.is_file():
                return path
        return None


@cache
def published_probes() -> dict[str, PublishedSet]:
    """All of them by name."""
    text = resources.files(__package__).joinpath("published.toml").read_text(encoding="utf-8")
    return {name: _published(name, table) for name, table in tomllib.loads(text).items()}


def _published(name: str, table: dict[str, Any]) -> PublishedSet:
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in table.items()
    }
    return PublishedSet(name=name, **values)


def data_folder(known: PublishedSet, root: Path | None = None) -> Path:
    """Folder of a data set: the one named, else below $MODELATLAS_DATASETS, else what was fetched.

    Raises
    ------
    InputError
        It is not there; the message says how to get it.
    """
    shared = os.environ.get(DATA_SETS)
    folder = root or (Path(shared).expanduser() / known.name if shared else None)
    if folder is None or (root is None and not folder.is_dir()):
        fetched = cache_root() / "datasets" / known.name
        folder = fetched if fetched.is_dir() or folder is None else folder
    folder = folder.absolute()
    if not folder.is_dir():
        how = (
            f"`modelatlas probe fetch {known.name}` brings its images"
            if known.archive
            else f"get it ({known.origin})"
        )
        raise InputError(
            f"{folder}: there is no folder of the data set {known.name}; {how}, or name yours: `modelatlas "
            f"probe build {known.name} --root DIR --out my-{known.name}`, or set ${DATA_SETS} to a folder "
            f"with {known.name}/ in it"
        )
    return folder
