"""Single files out of a large archive on a server, without bringing the archive.

Of a zip file the central directory is read first, then the members that are wanted, one span each. A tar file
has no directory: it is read from its beginning on, but no further than the last member that is wanted, and a
run that was stopped goes on at the member where it ended. Each file is checked (a zip file states a CRC-32 of
each), written whole or not at all, and its SHA-256 is recorded at the first time and must hold ever after.
"""

import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final, Literal

from modelatlas._ids import fingerprint
from modelatlas.errors import FetchError
from modelatlas.fetch.archives import member_name, reading, write_member
from modelatlas.fetch.cache import cache_lock
from modelatlas.fetch.checksums import verify
from modelatlas.fetch.ranges import RemoteFile

__all__ = ["ArchiveKind", "fetch_members"]

ArchiveKind = Literal["zip", "tar"]

_ZIP_SPAN: Final = 1 << 18  # bytes a request: a photograph and the header before it
_TAR_SPAN: Final = 1 << 22


@dataclass(frozen=True)
class _Task:
    """What `fetch_members` was asked for."""

    url: str
    dest: Path
    identify: Callable[[str], str | None]
    wanted: frozenset[str]
    max_bytes: int
    progress: Callable[[int], None]

    def place(self, name: str) -> Path:
        return self.dest.joinpath(*PurePosixPath(member_name(self.url, name)).parts)

    def bring(self, name: str, stream: IO[bytes]) -> Path:
        target = self.place(name)
        write_member(self.url, name, stream, target, sha256=None, max_bytes=self.max_bytes)
        try:
            verify(f"{self.url}#{name}", target, sha256=None)
        except FetchError:
            target.unlink()
            raise
        return target


def fetch_members(
    url: str,
    dest: Path,
    *,
    kind: ArchiveKind,
    identify: Callable[[str], str | None],
    wanted: frozenset[str],
    max_bytes: int,
    progress: Callable[[int], None] = lambda done: None,
    allow_http: bool = False,
) -> dict[str, Path]:
    """Bring members of an archive below the folder `dest`, under their own names; what is there stays.

    Parameters
    ----------
    kind
        A tar file must be without compression: the middle of it could not be read.
    identify, wanted
        Which members: those whose name `identify` turns into one of `wanted`.
    max_bytes
        Limit of each file.
    progress
        Called with the number of files that are there.

    Returns
    -------
        The files by what they were wanted as; without those that the archive does not hold.

    Raises
    ------
    FetchError
        As `RemoteFile`; a damaged archive, a name that leads out of it, a file that is too large or has
        another checksum than was recorded, a folder that cannot be written.
    """
    task = _Task(url, dest, identify, wanted, max_bytes, progress)
    with cache_lock("members", url), RemoteFile(url, allow_http=allow_http) as remote:
        return (_from_zip if kind == "zip" else _from_tar)(task, remote)


def _from_zip(task: _Task, remote: RemoteFile) -> dict[str, Path]:
    done: dict[str, Path] = {}
    with reading(task.url), zipfile.ZipFile(io.BufferedReader(remote, _ZIP_SPAN)) as archive:
        for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
            key = task.identify(info.filename)
            if key is None or key not in task.wanted or info.is_dir():
                continue
            there = task.place(info.filename)
            if there.is_file() and there.stat().st_size == info.file_size:
                done[key] = there
            else:
                with archive.open(info) as stream:
                    done[key] = task.bring(info.filename, stream)
            task.progress(len(done))
    return done


def _from_tar(task: _Task, remote: RemoteFile) -> dict[str, Path]:
    place = task.dest / ".position.json"
    archive_is = [remote.length, remote.validator, fingerprint(sorted(task.wanted))]
    done, start = _so_far(place, task.dest, archive_is)
    task.progress(len(done))
    if len(done) == len(task.wanted):
        return done
    stream = io.BufferedReader(remote, _TAR_SPAN)
    stream.seek(start)
    with reading(task.url), tarfile.open(fileobj=stream, mode="r:") as archive:
        while len(done) < len(task.wanted) and (info := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # it would keep all headers
            key = task.identify(info.name) if info.isfile() else None
            if key is None or key not in task.wanted:
                continue
            content = archive.extractfile(info)
            assert content is not None
            done[key] = task.bring(info.name, content)
            _keep(place, task.dest, archive_is, done, archive.offset)
            task.progress(len(done))
    return done


def _so_far(place: Path, dest: Path, archive_is: Sequence[object]) -> tuple[dict[str, Path], int]:
    """Tell what an earlier run brought out of the same archive, and where it stopped."""
    try:
        kept = json.loads(place.read_text(encoding="utf-8"))
        done = {key: dest / name for key, name in kept["done"].items()}
        same = kept["archive"] == list(archive_is) and all(path.is_file() for path in done.values())
        return (done, int(kept["position"])) if same else ({}, 0)
    except (OSError, ValueError, KeyError, AttributeError):
        return {}, 0  # none, or one that was cut short: begin anew


def _keep(
    place: Path, dest: Path, archive_is: Sequence[object], done: dict[str, Path], position: int
) -> None:
    names = {key: path.relative_to(dest).as_posix() for key, path in done.items()}
    beside = place.with_suffix(".part")
    beside.write_text(
        json.dumps({"archive": list(archive_is), "position": position, "done": names}), encoding="utf-8"
    )
    os.replace(beside, place)  # noqa: PTH105
