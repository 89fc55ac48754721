"""Where the pretrained networks of the network tests are kept, so that a repeat downloads nothing."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def kept_cache(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The caller's own cache if one is named, else the checkout's ignored `.cache/modelatlas`."""
    root = os.environ.get("MODELATLAS_CACHE") or str(Path(__file__).parents[2] / ".cache" / "modelatlas")
    monkeypatch.setenv("MODELATLAS_CACHE", root)
    return Path(root)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the test's own."""
    monkeypatch.setenv("MODELATLAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
