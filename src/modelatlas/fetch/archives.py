"""Taking single files out of archives that nobody should trust.

Zip (wheels), tar with any compression that Python reads, and Debian packages (an `ar` whose `data.tar.*` is
read). Names with a root, a drive or `..` and anything that is not a plain file (links, devices) are refused,
and the bytes that really come out are counted, not those that the archive's table claims.
"""

import gzip
import hashlib
import lzma
import os
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Final

from modelatlas.errors import FetchError

__all__ = ["archive_members", "extract_member", "extract_members", "member_name", "reading", "write_member"]

_BLOCK: Final = 1 << 18
_AR_MAGIC: Final = b"!<arch>\n"
_DAMAGED: Final = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    RuntimeError,  # an encrypted member
    NotImplementedError,
    ValueError,
)


def archive_members(archive: Path) -> list[str]:
    """Names of the plain files in an archive, in its order.

    Raises
    ------
    FetchError
        Not an archive that we read, or a damaged one.
    """
    return [name for name, _ in _plain_files(archive)]


def extract_member(
    archive: Path, member: str, dest: Path, *, sha256: str | None = None, max_bytes: int
) -> Path:
    """Write one file of an archive to `dest`, whole or not at all.

    Parameters
    ----------
    member
        Name in the archive, as it stands there (a leading `./` does not count).
    sha256
        Checksum that the file must have (hex).
    max_bytes
        Limit of the unpacked file.

    Raises
    ------
    FetchError
        No such plain file, a name that leads out of the archive, too large, another checksum, damaged.
    """
    wanted = member_name(archive, member)
    for name, stream in _plain_files(archive, wanted={wanted}):
        assert stream is not None
        write_member(archive, name, stream, dest, sha256=sha256, max_bytes=max_bytes)
        return dest
    raise FetchError(
        f"{archive}: there is no plain file {member!r} in it (another version of the package?); "
        "remove the archive and fetch it again"
    )


def extract_members(archive: Path, dest: Path, *, members: set[str], max_bytes: int) -> list[Path]:
    """Write several files of an archive below the folder `dest`, under their own names, in one pass.

    Parameters
    ----------
    max_bytes
        Limit of all of them together, unpacked.

    Raises
    ------
    FetchError
        As `extract_member`.
    """
    wanted = {member_name(archive, member) for member in members}
    written: dict[str, Path] = {}
    left = max_bytes
    for name, stream in _plain_files(archive, wanted=wanted):
        assert stream is not None
        target = dest.joinpath(*PurePosixPath(name).parts)
        write_member(archive, name, stream, target, sha256=None, max_bytes=left)
        left -= target.stat().st_size
        written[name] = target
    if missing := sorted(wanted - set(written)):
        raise FetchError(f"{archive}: there is no plain file {missing[0]!r} in it ({len(missing)} missing)")
    return list(written.values())


def member_name(archive: Path | str, member: str) -> str:
    """Drop `./` from a name; refuse it if it could lead out of the folder it is written to."""
    path = PurePosixPath(member)
    if path.is_absolute() or ".." in path.parts or "\\" in member or ":" in member or "\0" in member:
        raise FetchError(
            f"{archive}: the name {member!r} leads out of the archive; nothing of it was unpacked"
        )
    return str(path)


def _plain_files(archive: Path, *, wanted: set[str] | None = None) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Yield cleaned name and open stream of each wanted plain file (None: of all, without streams)."""
    with reading(archive):
        yield from (_zip_files if zipfile.is_zipfile(archive) else _tar_files)(archive, wanted)


@contextmanager
def reading(archive: Path | str) -> Iterator[None]:
    """Turn what the archive libraries raise on damage into our error."""
    try:
        yield
    except _DAMAGED as error:
        raise FetchError(
            f"{archive}: cannot be read as an archive ({error}); remove it and fetch it again"
        ) from error


def _zip_files(archive: Path, wanted: set[str] | None) -> Iterator[tuple[str, IO[bytes] | None]]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            kind = (info.external_attr >> 16) & 0o170000
            if info.is_dir() or kind not in (0, 0o100000):
                continue
            if wanted is None:
                yield info.filename, None
            elif str(PurePosixPath(info.filename)) in wanted:
                with opened.open(info) as stream:
                    yield member_name(archive, info.filename), stream


def _tar_files(archive: Path, wanted: set[str] | None) -> Iterator[tuple[str, IO[bytes] | None]]:
    with _tar_stream(archive) as raw, tarfile.open(fileobj=raw, mode="r:*") as opened:
        for info in opened:
            if not info.isfile():
                continue
            if wanted is None:
                yield info.name, None
            elif str(PurePosixPath(info.name)) in wanted and (stream := opened.extractfile(info)) is not None:
                yield member_name(archive, info.name), stream


@contextmanager
def _tar_stream(archive: Path) -> Iterator[IO[bytes]]:
    """Open the tar file itself; of a Debian package its `data.tar.*`, copied out."""
    with archive.open("rb") as stream:
        if stream.read(len(_AR_MAGIC)) != _AR_MAGIC:
            stream.seek(0)
            yield stream
            return
        # ar(5): 60-byte headers (name 16, time 12, owner 6, group 6, mode 8, size 10, magic 2), even offsets
        while len(header := stream.read(60)) == 60:
            name, size = header[:16].decode("latin-1").strip().rstrip("/"), int(header[48:58])
            if name.startswith("data.tar"):
                with tempfile.TemporaryFile() as copy:
                    while size and (block := stream.read(min(size, _BLOCK))):
                        size -= copy.write(block)
                    copy.seek(0)
                    yield copy
                return
            stream.seek(size + size % 2, os.SEEK_CUR)
    raise tarfile.ReadError("a Debian package without data.tar")


def _read(archive: Path | str, stream: IO[bytes]) -> bytes:
    with reading(archive):
        return stream.read(_BLOCK)


def write_member(
    archive: Path | str, name: str, stream: IO[bytes], dest: Path, *, sha256: str | None, max_bytes: int
) -> None:
    """Copy a stream to a temporary file beside `dest`, check it, rename it."""
    dest.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    written = 0
    handle, beside = tempfile.mkstemp(dir=dest.parent, prefix=f".{dest.name}-")
    try:
        with os.fdopen(handle, "wb") as out:
            while block := _read(archive, stream):
                written += len(block)
                if written > max_bytes:
                    raise FetchError(
                        f"{archive}: {name} unpacks to more than {max_bytes} bytes; it was not unpacked"
                    )
                digest.update(block)
                out.write(block)
        if sha256 is not None and digest.hexdigest() != sha256.lower():
            raise FetchError(
                f"{archive}: {name} has SHA-256 {digest.hexdigest()}, not {sha256.lower()} as its card "
                "states; it was not used. Remove the archive and fetch it again"
            )
        os.replace(beside, dest)  # noqa: PTH105
    except OSError as error:
        raise FetchError(
            f"{dest}: cannot be written ({error.strerror or error}); free space and run again"
        ) from error
    finally:
        Path(beside).unlink(missing_ok=True)
