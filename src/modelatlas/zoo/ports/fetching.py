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
from modelatlas.errors import CheckpointError, FetchError, ModelAtlasError, ModelError
from modelatlas.fetch import Progress, archive_members, cache_folder, cache_lock, download, extract_members
from modelatlas.fetch.checksums import forget
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
        transfer = _Transfer(origin, place.parent, progress)
        try:
            opened = _gathered(transfer, beside, model=model, file=file)
            _checked(opened, check, model=model, folder=beside)
            _write_receipt(beside, opened, origin=str(file) if file is not None else origin.url)
            shutil.rmtree(place, ignore_errors=True)
            os.replace(beside, place)  # noqa: PTH105
            transfer.clear()  # an archive is not needed any more
        except (CheckpointError, ModelError):
            transfer.clear(forgetting=True)
            raise
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    checkpoint = kept(place)
    assert checkpoint is not None
    return checkpoint


class _Transfer:
    """Downloads of one checkpoint, into the folder above its own, where a part is found again."""

    def __init__(self, origin: Origin, store: Path, progress: Progress | None) -> None:
        self.origin = origin
        self.store = store
        self.progress = progress
        self.urls: list[str] = []

    def get(self, url: str) -> Path:
        self.urls.append(url)
        return download(
            url,
            self._place(url),
            sha256=self.origin.sha256,
            max_bytes=_LIMIT,
            progress=self.progress,
            allow_http=not self.origin.offers_https,
        )

    def clear(self, *, forgetting: bool = False) -> None:
        """Remove what is still there; forget recorded checksums too, where the files turned out useless."""
        for url in self.urls:
            self._place(url).unlink(missing_ok=True)
            if forgetting:  # or a mended file would be refused for ever after
                forget(url)

    def _place(self, url: str) -> Path:
        return self.store / PurePosixPath(urlsplit(url).path).name


def _gathered(transfer: _Transfer, folder: Path, *, model: str, file: Path | None) -> Checkpoint:
    """Put the checkpoint's files into an empty folder, and open it."""
    origin = transfer.origin
    try:
        if file is not None:
            return _from_hand(origin, file, folder)
        if origin.packing == "archive":
            return _unpacked(origin, transfer.get(origin.url), folder)
        if origin.packing == "file":
            return open_checkpoint(_moved(transfer.get(origin.url), folder))
        index = _moved(transfer.get(f"{origin.url}.index"), folder)
        base = origin.url.rpartition("/")[0]
        for shard in _shards(index):
            _moved(transfer.get(f"{base}/{shard}"), folder)
        return open_checkpoint(index)
    except FetchError as error:
        raise FetchError(
            f"{model}: its weights could not be fetched: {error}; or name a checkpoint of yours with "
            "?weights=FILE, or chart it untrained with ?random=0"
        ) from error
    except CheckpointError as error:
        raise _refused(error, model, folder) from error


def _checked(opened: Checkpoint, check: Check, *, model: str, folder: Path) -> None:
    try:
        check(opened)
    except CheckpointError as error:
        raise _refused(error, model, folder) from error
    except ModelError as error:
        raise ModelError(model, error.reason.replace(f"{folder}{os.sep}", "")) from error


def _refused(error: CheckpointError, model: str, folder: Path) -> CheckpointError:
    """Tell a file by its name where it lay in the folder that is removed."""
    inside = error.path.parent == folder
    path = Path(error.path.name) if inside else error.path
    return CheckpointError(path, f"not taken as the weights of {model}: {error.reason}")


def _shards(index: Path) -> list[str]:
    try:
        return shard_names(index)
    except ValueError as error:
        raise CheckpointError(index, f"{error}") from error


def _moved(file: Path, folder: Path) -> Path:
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
