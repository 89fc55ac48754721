"""Weights that a library publishes at an address, kept in our cache: one safe way for all such sources."""

import re
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from modelatlas._ids import file_digest
from modelatlas.errors import FetchError
from modelatlas.fetch import Progress, cache_folder, download, install_file

__all__ = ["published_weights"]

_LIMIT: Final = 20_000_000_000
_HASH_IN_NAME: Final = re.compile(r"-([0-9a-f]{8,64})\.")


def published_weights(
    url: str,
    *,
    model: str,
    folder: str,
    file: Path | None = None,
    hash_in_name: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Have the file of an address in the cache; its checksum is recorded at the first download.

    Parameters
    ----------
    model
        The model's spec, for error messages.
    folder
        Folder below the cache's `weights`.
    file
        The same file, got by hand.
    hash_in_name
        The file's name ends in the first digits of its SHA-256, which must hold.

    Raises
    ------
    FetchError
        It cannot be had, or has another checksum.
    """
    name = PurePosixPath(urlsplit(url).path).name
    dest = cache_folder("weights", folder) / name
    try:
        if file is not None:
            path = install_file(file, url, dest)
        else:
            path = download(url, dest, max_bytes=_LIMIT, progress=progress)
    except FetchError as error:
        raise FetchError(
            f"{model}: its weights could not be fetched: {error}; or name a checkpoint of yours with "
            "?weights=FILE, or chart it untrained with ?random=0"
        ) from error
    stated = _HASH_IN_NAME.search(name)
    if hash_in_name and stated is not None and not file_digest(path).startswith(stated[1]):
        path.unlink()
        raise FetchError(
            f"{model}: the SHA-256 of {name} does not begin with {stated[1]}, as its name says; it was "
            "removed: run again"
        )
    return path
