"""A hub on the loopback interface: the endpoints and headers that the real one's clients use."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import torch
from safetensors.torch import save_file

from local_server import serving


@dataclass
class Hub:
    """What it serves: one repository, whose commit is the hash of its files, and what it was asked.

    `answers` replaces the answer to a path (status, content type, content).
    """

    repository: str
    files: dict[str, bytes] = field(default_factory=dict)
    url: str = ""
    answers: dict[str, tuple[int, str, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def commit(self) -> str:
        digest = hashlib.sha1()
        for name, content in sorted(self.files.items()):
            digest.update(name.encode() + content)
        return digest.hexdigest()

    def serve(self, folder: Path) -> None:
        self.files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    def description(self) -> dict:
        return {
            "id": self.repository,
            "modelId": self.repository,
            "sha": self.commit,
            "private": False,
            "tags": ["license:mit"],
            "cardData": {"license": "mit"},
            "siblings": [_sibling(name, content) for name, content in sorted(self.files.items())],
        }

    def answer(self, path: str) -> tuple[int, str, bytes]:
        if path in self.answers:
            return self.answers[path]
        api, resolve = f"/api/models/{self.repository}/revision/", f"/{self.repository}/resolve/"
        if path.startswith(api) and path.removeprefix(api) in ("main", "v1", self.commit):
            return 200, "application/json", json.dumps(self.description()).encode()
        revision, _, name = path.removeprefix(resolve).partition("/")
        if path.startswith(resolve) and revision in ("main", "v1", self.commit) and name in self.files:
            return 200, "application/octet-stream", self.files[name]
        return 404, "application/json", b'{"error":"Repository not found"}'


def _sibling(name: str, content: bytes) -> dict:
    plain = {"rfilename": name, "size": len(content), "blobId": hashlib.sha1(content).hexdigest()}
    if name.endswith((".safetensors", ".bin")):  # large files: their real checksum is told
        return plain | {
            "lfs": {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
        }
    return plain


OWN_CODE = """
import os
from pathlib import Path
import torch
from transformers import PretrainedConfig, PreTrainedModel

class OwnConfig(PretrainedConfig):
    model_type = "own-net"

class OwnNet(PreTrainedModel):
    config_class = OwnConfig
    main_input_name = "pixel_values"

    def __init__(self, config):
        super().__init__(config)
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.post_init()

    def forward(self, pixel_values):
        {forward}

{outside}
"""


def own_network(folder: Path, *, forward: str, outside: str = "") -> torch.nn.Conv2d:
    """Write a folder whose network is code of its own; returns the layer that its weights are of."""
    folder.mkdir()
    classes = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnNet"}
    config = {"model_type": "own-net", "auto_map": classes, "image_size": 32}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(OWN_CODE.format(forward=forward, outside=outside))
    conv = torch.nn.Conv2d(3, 4, 3)
    state = {f"conv.{name}": tensor.clone() for name, tensor in conv.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return conv


@contextmanager
def running(hub: Hub) -> Iterator[Hub]:
    def answer(request):
        path = unquote(urlsplit(request.path).path)
        hub.asked.append(f"{request.command} {path}")
        status, kind, content = hub.answer(path)
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(content)))
        request.send_header("X-Repo-Commit", hub.commit)
        request.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(content)

    with serving(answer) as hub.url:
        yield hub
