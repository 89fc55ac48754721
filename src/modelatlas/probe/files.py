"""Reading a picture's file: plain files of bounded size, and the bytes that their checksum vouches for."""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelatlas._ids import bytes_digest, file_digest
from modelatlas.errors import ProbeError
from modelatlas.probe.decode import MAX_BYTES, Picture, decode

__all__ = ["checksum", "read_picture"]


def checksum(path: Path, *, name: str) -> tuple[str, int]:
    """SHA-256 (hex) and size in bytes of a picture's file.

    Raises
    ------
    ProbeError
        Not there, empty, not a plain file (a pipe would block for ever), over `MAX_BYTES`, or not readable.
    """
    with _reasons(path, name):
        size = _plain_size(path, name)
        return file_digest(path), size


def read_picture(path: Path, *, name: str, sha256: str) -> Picture:
    """Decode the file that has this checksum.

    Raises
    ------
    ProbeError
        As `checksum` and `decode`, or the file has other bytes than those of `sha256`.
    """
    with _reasons(path, name):
        _plain_size(path, name)
        data = path.read_bytes()
    if bytes_digest(data) != sha256:
        raise ProbeError(name, "the file has changed since the probe was opened: put it back, or run again")
    return decode(data, name=name)


def _plain_size(path: Path, name: str) -> int:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ProbeError(name, "not a plain file")
    if status.st_size == 0:
        raise ProbeError(name, "the file is empty")
    if status.st_size > MAX_BYTES:
        raise ProbeError(name, f"the file is larger than {MAX_BYTES >> 20} MiB")
    return status.st_size


@contextmanager
def _reasons(path: Path, name: str) -> Iterator[None]:
    """Turn the system's errors into reasons."""
    try:
        yield
    except FileNotFoundError as error:
        raise ProbeError(name, "a link to nothing" if path.is_symlink() else "the file is missing") from error
    except OSError as error:
        raise ProbeError(name, f"the file cannot be read ({error.strerror or error})") from error
