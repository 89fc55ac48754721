"""Bringing a port's official files into the cache, whole and right or not at all.

    <cache>/weights/<source>-<name>/<origin>/   the checkpoint's files, and a receipt with their SHA-256

The receipt is written last, after the checkpoint was opened and every tensor of the network was found in
it. So another model's file, half a download or a web page never counts as fetched; a receipt whose files
changed does not either.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from modelatlas._ids import file_digest
from modelatlas.errors import CheckpointError, FetchError, ModelAtlasError
from modelatlas.fetch import Progress, archive_members, cache_folder, cache_lock, download, extract_members
from modelatlas.zoo.checkpoints import Checkpoint, open_checkpoint, shard_names
from modelatlas.zoo.ports.port import Origin

__all__ = ["fetched", "kept"]

_LIMIT: Final = 4_000_000_000
_RECEIPT: Final = "receipt.json"

Check = Callable[[Checkpoint], object]
"""Raises where a checkpoint is not the one that is wanted."""


def kept(folder: Path) -> Path | None:
    """Find the checkpoint that a folder's receipt vouches for; None: there is none, or its files changed."""
    try:
        receipt = json.loads((folder / _RECEIPT).read_text(encoding="utf-8"))
        files, main = dict(receipt["sha256"]), str(receipt["open"])
        whole = all(file_digest(folder / name) == digest for name, digest in files.items())
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return folder / main if whole and main in files else None


def fetched(
    origin: Origin,
    *,
    folder: str,
    model: str,
    check: Check,
    file: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Have a checkpoint in the cache: from its origin, or from a file or archive that was got by hand.

    Parameters
    ----------
    folder
        Folder below the cache's `weights`.
    check
        Called with the opened checkpoint before it counts as fetched.

    Returns
    -------
        What `open_checkpoint` takes.

    Raises
    ------
    FetchError
        It cannot be had.
    CheckpointError, ModelError
        It is damaged, or another network's.
    """
    place = cache_folder("weights", folder) / (origin.name if file is None else "by-hand")
    with cache_lock("weights", folder):
        by_hand = place.with_name("by-hand")
        for known in (by_hand, place) if file is None else ():
            if (checkpoint := kept(known)) is not None:
                return checkpoint
        beside = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}-"))
        try:
            opened = _gathered(origin, place.parent, beside, model=model, file=file, progress=progress)
            check(opened)
            _write_receipt(beside, opened, origin=str(file) if file is not None else origin.url)
            shutil.rmtree(place, ignore_errors=True)
            os.replace(beside, place)  # noqa: PTH105
            for name in _downloads(origin):
                (place.parent / name).unlink(missing_ok=True)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    checkpoint = kept(place)
    assert checkpoint is not None
    return checkpoint


def _gathered(
    origin: Origin, store: Path, folder: Path, *, model: str, file: Path | None, progress: Progress | None
) -> Checkpoint:
    """Put the checkpoint's files into an empty folder, and open it."""
    try:
        if file is not None:
            return _from_hand(origin, file, folder)
        if origin.packing == "archive":
            archive = _download(origin, origin.url, store, progress)
            return _unpacked(origin, archive, folder)
        if origin.packing == "file":
            return open_checkpoint(_linked(_download(origin, origin.url, store, progress), folder))
        index = _linked(_download(origin, f"{origin.url}.index", store, progress), folder)
        base = origin.url.rpartition("/")[0]
        for shard in _shards(index):
            _linked(_download(origin, f"{base}/{shard}", store, progress), folder)
        return open_checkpoint(index)
    except FetchError as error:
        raise FetchError(
            f"{model}: its weights could not be fetched: {error}; or name a checkpoint of yours with "
            "?weights=FILE, or chart it untrained with ?random=0"
        ) from error
    except CheckpointError as error:
        raise CheckpointError(error.path, f"not taken as the weights of {model}: {error.reason}") from error


def _download(origin: Origin, url: str, store: Path, progress: Progress | None) -> Path:
    return download(
        url,
        store / PurePosixPath(urlsplit(url).path).name,
        sha256=origin.sha256,
        max_bytes=_LIMIT,
        progress=progress,
        allow_http=not origin.offers_https,
    )


def _downloads(origin: Origin) -> list[str]:
    """Names of what was downloaded beside the folder: an archive is not needed any more once unpacked."""
    return [PurePosixPath(urlsplit(origin.url).path).name] if origin.packing == "archive" else []


def _shards(index: Path) -> list[str]:
    try:
        return shard_names(index)
    except ValueError as error:
        raise CheckpointError(index, f"{error}") from error


def _linked(file: Path, folder: Path) -> Path:
    """Move a download into the folder."""
    target = folder / file.name
    os.replace(file, target)  # noqa: PTH105
    return target


def _from_hand(origin: Origin, file: Path, folder: Path) -> Checkpoint:
    if not file.exists():
        raise FetchError(f"{file}: there is no such file; name the one that was downloaded by hand")
    try:
        opened = open_checkpoint(file)
    except CheckpointError:
        if origin.member is None or not _is_archive(file):
            raise
        return _unpacked(origin, file, folder)
    for part in opened.files:
        shutil.copyfile(part, folder / part.name)
    return open_checkpoint(folder / opened.path.name)


def _is_archive(file: Path) -> bool:
    try:
        return file.is_file() and bool(archive_members(file))
    except ModelAtlasError:
        return False


def _unpacked(origin: Origin, archive: Path, folder: Path) -> Checkpoint:
    """Take the checkpoint out of an archive: one file (V1), or index and shards (V2), by their own names."""
    assert origin.member is not None
    prefixes = (f"{origin.member}.index", f"{origin.member}.data-")
    wanted = {
        name
        for name in archive_members(archive)
        if (last := PurePosixPath(name).name) == origin.member or last.startswith(prefixes)
    }
    if not wanted:
        raise FetchError(f"{archive}: there is no checkpoint {origin.member} in it; is it another archive?")
    paths = extract_members(archive, folder, members=wanted, max_bytes=_LIMIT)
    for path in paths:
        if path.parent != folder:
            path.rename(folder / path.name)
    return open_checkpoint(folder / origin.member)


def _write_receipt(folder: Path, opened: Checkpoint, *, origin: str) -> None:
    receipt = {
        "origin": origin,
        "format": opened.format,
        "open": opened.path.name,
        "sha256": {file.name: file_digest(file) for file in opened.files},
    }
    (folder / _RECEIPT).write_text(json.dumps(receipt, indent=1), encoding="utf-8")
