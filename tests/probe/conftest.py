"""Pictures to make probes of, and an empty cache."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MODELATLAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def draw():
    """Write a small picture of its own colours to a path; returns its pixels."""

    def write(path: Path | str, seed: int = 0, size: tuple[int, int] = (12, 9)) -> np.ndarray:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
        Image.fromarray(pixels).save(path)
        return pixels

    return write


@pytest.fixture
def pictures(tmp_path: Path, draw) -> Path:
    """A folder of twelve pictures at two depths."""
    folder = tmp_path / "pictures"
    for number in range(12):
        draw(folder / ("deep" if number % 3 == 0 else "") / f"{number:02d}.png", seed=number)
    return folder
