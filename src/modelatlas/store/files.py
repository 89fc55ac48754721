"""Files that are whole or absent: written beside their place, then `os.replace`d into it.

A process that dies at any moment leaves the old file or the new one, and at most a temporary file, which
the next writer sweeps away. (Against the death of a process, not of the machine: nothing is synced to the
disk. A file that a power cut damages is found by its checksum when it is read.)
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from modelatlas.errors import StoreError

__all__ = ["explained", "remove", "sweep", "write_bytes", "write_text"]

_TEMPORARY: Final = (".tmp", ".partial")  # ours, Zarr's

_PERMIT: Final = "give yourself the right to write there (chmod, chown), or choose another folder with --out"
_MAY_READ: Final = "give yourself the right to read there (chmod, chown)"
_REMEDIES: Final = {
    errno.ENOSPC: "free some disk space",
    errno.EDQUOT: "free some of your disk quota",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f)",
    errno.EROFS: "choose another folder with --out, this disk is mounted read-only",
    errno.EACCES: _PERMIT,
    errno.EPERM: _PERMIT,
    errno.ENAMETOOLONG: "choose a shorter path with --out",
}


@contextmanager
def explained(path: Path, doing: str) -> Iterator[None]:
    """Turn an `OSError` into a `StoreError` that says what, where, and how to go on.

    Parameters
    ----------
    path
        The file or folder.
    doing
        What could not be done, as in "write" or "read".
    """
    try:
        yield
    except OSError as error:
        denied = doing == "read" and error.errno in (errno.EACCES, errno.EPERM)
        remedy = _MAY_READ if denied else _REMEDIES.get(error.errno or 0, "look at the disk")
        raise StoreError(
            f"cannot {doing} {path}: {error.strerror or error}. To go on, {remedy}, and run the same "
            "command again; what was finished is kept"
        ) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises
    ------
    StoreError
        The disk is full, read-only, or refuses.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with explained(path, "write"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            beside.write_bytes(content)
            beside.replace(path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, its line ends as they are, whole or not at all; errors as `write_bytes`.

    What UTF-8 has no bytes for, as a file name of another coding in a message, is escaped as JSON does it.
    """
    write_bytes(path, text.encode(errors="backslashreplace"))


def remove(path: Path) -> None:
    """Remove a file if it is there; errors as `write_bytes`."""
    with explained(path, "remove"):
        path.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what writers that died left half-written. Only the holder of the lock may call it."""
    with explained(folder, "clean"):
        for parent, _, files in os.walk(folder):
            for name in files:
                if name.endswith(_TEMPORARY):
                    (Path(parent) / name).unlink(missing_ok=True)
