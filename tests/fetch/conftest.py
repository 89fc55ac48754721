"""A cache of its own for every test, and a real HTTP server on the loopback interface."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


@dataclass
class Origin:
    """What the server serves, and what it was asked.

    `breaks` counts the answers that are still to break off after half of what they announced.
    """

    url: str
    content: bytes = b""
    status: int = 200
    content_type: str = "application/octet-stream"
    etag: str | None = '"1"'
    announces_length: bool = True
    breaks: int = 0
    delay: float = 0.0
    location: str | None = None
    ranges: list[str | None] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is part of the tests


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "cache"
    monkeypatch.setenv("MODELATLAS_CACHE", str(root))
    return root


@pytest.fixture
def origin(cache: Path) -> Iterator[Origin]:
    server = _Server(("127.0.0.1", 0), BaseHTTPRequestHandler)
    state = Origin(url=f"http://127.0.0.1:{server.server_address[1]}/weights.bin")

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            asked = self.headers.get("Range")
            state.ranges.append(asked)
            threading.Event().wait(state.delay)
            start = 0
            if asked and state.etag and self.headers.get("If-Range") == state.etag:
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start > len(state.content) or (asked and start == len(state.content)):
                self.send_error(416)
                return
            body = state.content[start:]
            self.send_response(206 if start else state.status)
            self.send_header("Content-Type", state.content_type)
            if state.location:
                self.send_header("Location", state.location)
            if state.etag:
                self.send_header("ETag", state.etag)
            if start:
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(state.content) - 1}/{len(state.content)}"
                )
            if state.announces_length:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if state.breaks > 0:
                state.breaks -= 1
                body = body[: len(body) // 2]
            self.wfile.write(body)

    server.RequestHandlerClass = Handler
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
