"""A file on a server as a Python file, read by ranges: to take single members out of large archives.

Every answer must come from the file that the first one came from, of the same length and with the same
validator (`If-Range`), so that spans of two versions are never mixed. A connection that breaks off is opened
again where it ended.
"""

import io
import re
from collections.abc import Iterator
from typing import Any, Final

from modelatlas.errors import FetchError
from modelatlas.fetch.request import BrokenOffError, NoSuchSpanError, check_scheme, open_url, validator_of

__all__ = ["RemoteFile"]

_ATTEMPTS: Final = 3
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class RemoteFile(io.RawIOBase):
    """A file to seek and read in. Every read is one request: put an `io.BufferedReader` around it.

    Parameters
    ----------
    url
        Address on a server that answers ranges.
    allow_http
        For origins that offer no https (a warning is given).
    timeout
        Seconds without a byte after which the connection counts as broken.

    Attributes
    ----------
    length
        Bytes of the whole file.
    validator
        Its strong ETag or its date, where the server gives one.

    Raises
    ------
    FetchError
        No ranges are to be had, or as `open_url`; when reading: it has changed, or three tries broke off.
    """

    def __init__(self, url: str, *, allow_http: bool = False, timeout: float = 60.0) -> None:
        check_scheme(url, allow_http=allow_http)
        self._url, self._timeout, self._position = url, timeout, 0
        self.length = -1
        self.validator: str | None = None
        first = bytearray(1)
        self._read(memoryview(first))

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def tell(self) -> int:
        """Count the bytes from the beginning that the next read starts at."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go elsewhere; nothing is asked for."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.length}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read all that was asked for, unless the file ends before."""
        view = memoryview(buffer).cast("B")
        view = view[: max(0, self.length - self._position)]
        if len(view):
            self._read(view)
            self._position += len(view)
        return len(view)

    def _read(self, view: memoryview) -> None:
        """Fill `view` from the position on; what came before a break is kept."""
        done = 0
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                for piece in self._answer(self._position + done, self._position + len(view)):
                    view[done : done + len(piece)] = piece
                    done += len(piece)
                if done == len(view):
                    return
                raise BrokenOffError(f"after {done} of {len(view)} bytes")
            except NoSuchSpanError as error:
                raise self._changed() from error
            except BrokenOffError as error:
                if attempt == _ATTEMPTS:
                    raise FetchError(
                        f"{self._url}: the connection broke off {_ATTEMPTS} times ({error}); run again"
                    ) from error

    def _answer(self, start: int, stop: int) -> Iterator[bytes]:
        span = f"{start}-{stop - 1}"
        with open_url(self._url, span=span, validator=self.validator, timeout=self._timeout) as answer:
            found = _CONTENT_RANGE.fullmatch(str(answer.headers.get("Content-Range", "")))
            if self.length < 0:
                if answer.status != 206 or found is None:
                    raise FetchError(
                        f"{self._url}: the server sends whole files only; get it by hand (--from FILE)"
                    )
                self.length, self.validator = int(found[3]), validator_of(answer)
            if found is None or found.groups() != (str(start), str(stop - 1), str(self.length)):
                raise self._changed()
            left = stop - start
            while left and (piece := answer.read(min(left, 1 << 18))):
                left -= len(piece)
                yield piece

    def _changed(self) -> FetchError:
        return FetchError(f"{self._url}: the file has changed on its server, or is empty; run again")
