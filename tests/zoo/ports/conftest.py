"""A local server of several files, and an empty cache."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from local_server import serving


@dataclass
class Server:
    """What is served by file name, and how it misbehaves.

    `pages` are answered as HTML with status 200; of `breaks` the connection ends after half of the file.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    pages: set[str] = field(default_factory=set)
    breaks: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def answer(self, request) -> None:
        name = request.path.rpartition("/")[2]
        self.asked.append(name)
        if name not in self.files:
            request.send_error(404)
            return
        body = self.files[name]
        request.send_response(200)
        kind = "text/html" if name in self.pages else "application/octet-stream"
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: len(body) // 2] if name in self.breaks else body)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("MODELATLAS_CACHE", str(tmp_path / "cache"))
    state = Server()
    with serving(state.answer) as state.url:
        yield state
