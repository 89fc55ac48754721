"""A local server of several files, an empty cache, and a port small enough for the golden checkpoints."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


@dataclass
class Server:
    """What is served by path, and how it misbehaves.

    `pages` answers HTML with status 200; `breaks` the paths whose connection ends after half of the file.
    """

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    pages: set[str] = field(default_factory=set)
    breaks: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)


class _Threads(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is part of the tests


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("MODELATLAS_CACHE", str(tmp_path / "cache"))
    http = _Threads(("127.0.0.1", 0), BaseHTTPRequestHandler)
    state = Server(url=f"http://127.0.0.1:{http.server_address[1]}")

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            name = self.path.rpartition("/")[2]
            state.asked.append(name)
            if name not in state.files:
                self.send_error(404)
                return
            body = state.files[name]
            self.send_response(200)
            kind = "text/html" if name in state.pages else "application/octet-stream"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if name in state.breaks else body)

    http.RequestHandlerClass = Handler
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield state
    http.shutdown()
    http.server_close()
