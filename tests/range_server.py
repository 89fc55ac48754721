"""A real HTTP server on the loopback interface that answers ranges, for archives that are read in spans."""

import io
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from local_server import serving


@dataclass
class RangeServer:
    """What it serves by path, and the spans it was asked for.

    `breaks` counts the answers that are still to break off half-way; `ranges=False` sends whole files only.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    etag: str | None = '"1"'
    ranges: bool = True
    breaks: int = 0
    asked: list[str | None] = field(default_factory=list)
    sent: int = 0

    def answer(self, request) -> None:
        content = self.files.get(request.path)
        asked = request.headers.get("Range")
        self.asked.append(asked)
        if content is None:
            request.send_error(404)
            return
        start, stop = 0, len(content)
        partial = bool(asked) and self.ranges and request.headers.get("If-Range") in (None, self.etag)
        if partial:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, stop = int(first), min(int(last) + 1 if last else stop, stop)
            if start >= len(content):
                request.send_error(416)
                return
        request.send_response(206 if partial else 200)
        request.send_header("Content-Type", "application/octet-stream")
        if self.etag:
            request.send_header("ETag", self.etag)
        if partial:
            request.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
        request.send_header("Content-Length", str(stop - start))
        request.end_headers()
        if self.breaks > 0:
            self.breaks -= 1
            stop = start + (stop - start) // 2
        self.sent += stop - start
        request.wfile.write(content[start:stop])


@contextmanager
def range_server() -> Iterator[RangeServer]:
    """Serve until the block ends."""
    state = RangeServer()
    with serving(state.answer) as state.url:
        yield state


def packed(kind: str, files: dict[str, bytes]) -> bytes:
    """Pack files into a zip or tar archive."""
    stream = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()
