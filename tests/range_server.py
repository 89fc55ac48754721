"""A real HTTP server on the loopback interface that answers ranges, for archives that are read in spans."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class RangeServer:
    """What it serves by path, and the spans it was asked for.

    `breaks` counts the answers that are still to break off half-way; `ranges=False` sends whole files only.
    """

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    etag: str | None = '"1"'
    ranges: bool = True
    breaks: int = 0
    asked: list[str | None] = field(default_factory=list)
    sent: int = 0


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is part of the tests


@contextmanager
def range_server() -> Iterator[RangeServer]:
    """Serve until the block ends."""
    server = _Quiet(("127.0.0.1", 0), BaseHTTPRequestHandler)
    state = RangeServer(url=f"http://127.0.0.1:{server.server_address[1]}")

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            content = state.files.get(self.path)
            asked = self.headers.get("Range")
            state.asked.append(asked)
            if content is None:
                self.send_error(404)
                return
            start, stop = 0, len(content)
            partial = bool(asked) and state.ranges and self.headers.get("If-Range") in (None, state.etag)
            if partial:
                first, _, last = asked.removeprefix("bytes=").partition("-")
                start, stop = int(first), min(int(last) + 1 if last else stop, stop)
                if start >= len(content):
                    self.send_error(416)
                    return
            self.send_response(206 if partial else 200)
            self.send_header("Content-Type", "application/octet-stream")
            if state.etag:
                self.send_header("ETag", state.etag)
            if partial:
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
            self.send_header("Content-Length", str(stop - start))
            self.end_headers()
            if state.breaks > 0:
                state.breaks -= 1
                stop = start + (stop - start) // 2
            state.sent += stop - start
            self.wfile.write(content[start:stop])

    server.RequestHandlerClass = Handler
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
