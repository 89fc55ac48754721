"""Small pictures of probe images, kept beside the maps so that figures need no probe."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from modelatlas.store.files import write_bytes
from modelatlas.store.layout import Layout

__all__ = ["read_thumbnails", "write_thumbnails"]


def write_thumbnails(root: Path, pictures: Mapping[str, UInt8[np.ndarray, "side side 3"]]) -> None:
    """Store pictures by image id, in their order, whole or not at all."""
    buffer = io.BytesIO()
    squares = np.stack(list(pictures.values()))
    np.savez_compressed(buffer, ids=np.array(list(pictures), dtype=np.str_), squares=squares)
    write_bytes(Layout(root).thumbnails, buffer.getvalue())


def read_thumbnails(root: Path) -> dict[str, UInt8[np.ndarray, "side side 3"]]:
    """Image id -> picture, RGB, 0..255; empty where none are stored, or they are damaged (ornament)."""
    try:
        content = io.BytesIO(Layout(root).thumbnails.read_bytes())
        with np.load(content, allow_pickle=False) as stored:
            return dict(zip(stored["ids"].tolist(), stored["squares"], strict=True))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return {}
