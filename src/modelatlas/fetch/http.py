"""Downloads over https: resumed, size-limited, checksummed, renamed into place only when whole.

A download is written to `<dest>.part` beside its place. If it breaks off, the part stays and the next try
asks for the rest (`Range`, tied to the first answer's validator by `If-Range`, so that two versions of a file
are never glued together). The whole file is checked and then `os.replace`d. Where the origin states no
checksum, the one of the first download is recorded in the cache and must hold ever after.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from modelatlas._ids import file_digest
from modelatlas.errors import FetchError
from modelatlas.fetch.cache import cache_lock
from modelatlas.fetch.checksums import recorded, verify
from modelatlas.fetch.request import BrokenOffError, NoSuchSpanError, check_scheme, open_url, validator_of

__all__ = ["Progress", "download", "install_file"]

Progress = Callable[[int, int | None], None]
"""Called with the bytes at hand and the whole size in bytes (None where the origin does not say)."""

_BLOCK: Final = 1 << 18
_ATTEMPTS: Final = 3


def download(
    url: str,
    dest: Path,
    *,
    sha256: str | None = None,
    max_bytes: int,
    resume: bool = True,
    progress: Progress | None = None,
    allow_http: bool = False,
    timeout: float = 60.0,
) -> Path:
    """Fetch `url` to `dest`, or keep what is there if its checksum holds.

    Two processes that ask for one address fetch it once.

    Parameters
    ----------
    sha256
        Checksum that the origin states (hex); None: recorded at the first download and compared from then on.
    max_bytes
        Limit of the whole file; a larger one is refused, before the transfer where its size is announced.
    resume
        Go on from `<dest>.part` if there is one.
    allow_http
        For origins that offer no https (a warning is given); without it only https is accepted.
    timeout
        Seconds without a byte after which the connection counts as broken.

    Returns
    -------
        `dest`.

    Raises
    ------
    FetchError
        Not https, no network, an error status, a web page instead of a file, too large, broken off, another
        checksum.
    """
    check_scheme(url, allow_http=allow_http)
    with cache_lock("http", url):
        expected = sha256 or recorded(url)
        if dest.is_file() and expected is not None and file_digest(dest) == expected.lower():
            return dest
        part = dest.with_name(dest.name + ".part")
        with _put_in_place(url, part, dest, sha256=sha256):
            if not resume:
                _discard(part)
            _transfer_with_retries(url, part, max_bytes=max_bytes, progress=progress, timeout=timeout)
    return dest


def install_file(file: Path, url: str, dest: Path) -> Path:
    """Put a file that was got by hand in the place of a download of `url`.

    Returns
    -------
        `dest`.

    Raises
    ------
    FetchError
        No such file, or not the one whose checksum is recorded for that address.
    """
    if not file.is_file():
        raise FetchError(f"{file}: there is no such file; name the one that was downloaded by hand")
    part = dest.with_name(dest.name + ".part")
    with cache_lock("http", url), _put_in_place(url, part, dest, sha256=None):
        _discard(part)
        shutil.copyfile(file, part)
    return dest


@contextmanager
def _put_in_place(url: str, part: Path, dest: Path, *, sha256: str | None) -> Iterator[None]:
    """Check what the body wrote to `part`, then rename it; what is wrong is removed, what broke off stays."""
    try:
        dest.parent.mkdir(parents=True, exist_ok=True)
        yield
        try:
            verify(url, part, sha256=sha256)
        except FetchError:
            _discard(part)
            raise
        os.replace(part, dest)  # noqa: PTH105
        _discard(part)
    except OSError as error:
        raise FetchError(
            f"{url}: cannot write {part} ({error.strerror or error}); free space or choose another folder "
            "(MODELATLAS_CACHE), then run again: a download goes on where it stopped"
        ) from error


def _transfer_with_retries(url: str, part: Path, **options: Any) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _transfer(url, part, **options)
            return
        except BrokenOffError as error:
            if attempt == _ATTEMPTS:
                at_hand = part.stat().st_size if part.exists() else 0
                raise FetchError(
                    f"{url}: the connection broke off {_ATTEMPTS} times ({error}); {at_hand} bytes are kept: "
                    "run again to go on from there"
                ) from error


def _transfer(url: str, part: Path, *, max_bytes: int, progress: Progress | None, timeout: float) -> None:
    """One request: append the rest to `part`, or write it anew where the server sends all."""
    start = part.stat().st_size if part.exists() else 0
    validator = _read_validator(part)
    if start and validator is None:
        start = 0  # without a validator the rest could be another version's
    try:
        with open_url(
            url, span=f"{start}-" if start else None, validator=validator, timeout=timeout
        ) as answer:
            if answer.status == 206 and not str(answer.headers.get("Content-Range", "")).startswith(
                f"bytes {start}-"
            ):
                raise FetchError(
                    f"{url}: the server sent another range than asked for; remove {part} and run again"
                )
            start = start if answer.status == 206 else 0
            length = answer.headers.get("Content-Length")
            total = start + int(length) if length is not None else None
            _refuse_large(url, total or 0, max_bytes)
            _write_validator(part, validator_of(answer))
            _copy(url, answer, part, start=start, total=total, max_bytes=max_bytes, progress=progress)
    except NoSuchSpanError as error:  # the part is as long as the file, or longer: begin anew
        _discard(part)
        raise BrokenOffError("the part at hand does not fit the file") from error


def _copy(
    url: str,
    answer: Any,
    part: Path,
    *,
    start: int,
    total: int | None,
    max_bytes: int,
    progress: Progress | None,
) -> None:
    done = start
    with part.open("ab" if start else "wb") as stream:
        while block := answer.read(_BLOCK):
            done += len(block)
            if done > max_bytes:
                _discard(part)
            _refuse_large(url, done, max_bytes)
            stream.write(block)
            if progress is not None:
                progress(done, total)
    if total is not None and done < total:
        raise BrokenOffError(f"after {done} of {total} bytes")


def _refuse_large(url: str, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise FetchError(
            f"{url}: larger than the limit of {max_bytes} bytes ({size} or more); not downloaded"
        )


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _validator_file(part).unlink(missing_ok=True)


def _validator_file(part: Path) -> Path:
    return part.with_name(part.name + ".validator")


def _read_validator(part: Path) -> str | None:
    path = _validator_file(part)
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _write_validator(part: Path, validator: str | None) -> None:
    if validator is None:
        _validator_file(part).unlink(missing_ok=True)
    else:
        _validator_file(part).write_text(validator, encoding="utf-8")
