"""A cache of its own for every test, and a real HTTP server on the loopback interface."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from local_server import serving


@dataclass
class Origin:
    """What the server serves, and what it was asked.

    `breaks` counts the answers that are still to break off after half of what they announced.
    """

    url: str = ""
    content: bytes = b""
    status: int = 200
    content_type: str = "application/octet-stream"
    etag: str | None = '"1"'
    announces_length: bool = True
    breaks: int = 0
    delay: float = 0.0
    location: str | None = None
    ranges: list[str | None] = field(default_factory=list)

    def answer(self, request) -> None:
        asked = request.headers.get("Range")
        self.ranges.append(asked)
        threading.Event().wait(self.delay)
        start = 0
        if asked and self.etag and request.headers.get("If-Range") == self.etag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start > len(self.content) or (asked and start == len(self.content)):
            request.send_error(416)
            return
        body = self.content[start:]
        request.send_response(206 if start else self.status)
        request.send_header("Content-Type", self.content_type)
        if self.location:
            request.send_header("Location", self.location)
        if self.etag:
            request.send_header("ETag", self.etag)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        if self.announces_length:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if self.breaks > 0:
            self.breaks -= 1
            body = body[: len(body) // 2]
        request.wfile.write(body)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "cache"
    monkeypatch.setenv("MODELATLAS_CACHE", str(root))
    return root


@pytest.fixture
def origin(cache: Path) -> Iterator[Origin]:
    state = Origin()
    with serving(state.answer) as address:
        state.url = f"{address}/weights.bin"
        yield state
