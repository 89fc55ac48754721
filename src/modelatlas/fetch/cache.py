"""The cache: one folder for everything that is downloaded.

    <root>/archives/<registry>/<package>-<version>/   what a package registry served
    <root>/weights/<name>/                            single files taken out of archives, or downloaded
    <root>/checksums/                                 SHA-256 recorded at the first download of an address
    <root>/locks/                                     so that two processes fetch one thing once

The root carries a `CACHEDIR.TAG` (so that backups leave it out); nothing is pruned in a folder without it, so
that a mistyped $MODELATLAS_CACHE cannot empty somebody's home.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs
from filelock import FileLock

from modelatlas._ids import fingerprint
from modelatlas.errors import FetchError, InputError

__all__ = ["CacheEntry", "cache_entries", "cache_folder", "cache_lock", "cache_root", "prune"]

_TAG_TEXT: Final = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This folder is a cache of ModelAtlas; what is missing is fetched again. See https://bford.info/cachedir/\n"
)
_KEPT: Final = frozenset(
    {"checksums", "locks"}
)  # small; a checksum must outlive the file that it vouches for


@dataclass(frozen=True)
class CacheEntry:
    """One thing in the cache: a folder or file two or three levels below the root.

    Attributes
    ----------
    name
        Path below the root, with forward slashes.
    path
        Where it lies.
    bytes
        Sum of the sizes of its files.
    modified
        Seconds since the epoch of the newest file.
    """

    name: str
    path: Path
    bytes: int
    modified: float


def cache_root() -> Path:
    """Folder of the cache: $MODELATLAS_CACHE, or the user's cache folder. It need not exist yet."""
    chosen = os.environ.get("MODELATLAS_CACHE")
    return Path(chosen).expanduser().absolute() if chosen else platformdirs.user_cache_path("modelatlas")


def cache_folder(*parts: str) -> Path:
    """Make a folder below the cache's root if it is not there, and tag the root as a cache.

    Raises
    ------
    FetchError
        The folder cannot be made (read-only, a file in the way, disk full).
    """
    root = cache_root()
    folder = root.joinpath(*parts)
    try:
        fresh = not root.exists() or not any(root.iterdir())
        folder.mkdir(parents=True, exist_ok=True)
        if fresh:
            (root / "CACHEDIR.TAG").write_text(_TAG_TEXT, encoding="utf-8")
    except OSError as error:
        raise FetchError(
            f"{folder}: the cache folder cannot be made ({error.strerror}); "
            "set MODELATLAS_CACHE to a folder that can be written"
        ) from error
    return folder


@contextmanager
def cache_lock(*key: str) -> Iterator[None]:
    """Hold the lock of one thing to be fetched; it dies with its process."""
    with FileLock(cache_folder("locks") / f"{fingerprint(list(key))[:32]}.lock"):
        yield


def cache_entries() -> list[CacheEntry]:
    """List what the cache holds, largest first (ties by name); checksums and locks are not listed."""
    root = cache_root()
    if not root.is_dir():
        return []
    found = [
        _entry(root, path)
        for top in sorted(root.iterdir())
        if top.is_dir() and top.name not in _KEPT
        for path in _items(top)
    ]
    return sorted(found, key=lambda entry: (-entry.bytes, entry.name))


def prune(*, older_than_days: float = 0.0) -> list[CacheEntry]:
    """Remove what was last written more than `older_than_days` ago; returns what was removed.

    Raises
    ------
    InputError
        The root is not one of our caches.
    """
    root = cache_root()
    entries = cache_entries()
    if entries and not (root / "CACHEDIR.TAG").is_file():
        raise InputError(
            f"{root} does not look like a cache of ModelAtlas (no CACHEDIR.TAG), nothing was removed: "
            "check MODELATLAS_CACHE, or remove the folder yourself"
        )
    limit = time.time() - older_than_days * 86_400
    old = [entry for entry in entries if entry.modified <= limit]
    for entry in old:
        if entry.path.is_dir() and not entry.path.is_symlink():
            shutil.rmtree(entry.path)
        else:
            entry.path.unlink()
    return old


def _items(top: Path) -> list[Path]:
    """List the units of listing and pruning: `archives/<registry>/<package>`, else `<top>/<name>`."""
    if top.name == "archives":
        return [
            path
            for registry in sorted(top.iterdir())
            if registry.is_dir()
            for path in sorted(registry.iterdir())
        ]
    return sorted(top.iterdir())


def _entry(root: Path, path: Path) -> CacheEntry:
    files = [path] if not path.is_dir() else [file for file in path.rglob("*") if not file.is_dir()]
    stats = [file.lstat() for file in files]
    return CacheEntry(
        name=path.relative_to(root).as_posix(),
        path=path,
        bytes=sum(stat.st_size for stat in stats),
        modified=max((stat.st_mtime for stat in stats), default=path.lstat().st_mtime),
    )
