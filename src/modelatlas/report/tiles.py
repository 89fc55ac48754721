"""Photographs and maps as pictures inside the page: WebP in data URIs."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from modelatlas.report.examples import Example
from modelatlas.report.map_pictures import draw_map, is_signed

__all__ = ["Picture", "image_count", "make_picture"]

SIDE: Final = 112
QUALITY: Final = 78
MOST_TILES: Final = 480
"""Maps on the page: about 5 kB each, so that the whole stays small enough to send."""


@dataclass(frozen=True)
class Picture:
    """One probe image with maps.

    Attributes
    ----------
    photo
        Data URI, or None where the atlas keeps no picture.
    maps
        Model, and for each method a data URI, or None where dead.
    """

    name: str
    credit: str
    photo: str | None
    maps: tuple[tuple[str, tuple[str | None, ...]], ...]


def image_count(models: int, methods: int) -> int:
    """How many images fit the page: one to four."""
    return int(np.clip(MOST_TILES // max(1, models * methods), 1, 4))


def make_picture(example: Example, *, models: Sequence[str], methods: Sequence[str]) -> Picture:
    """Draw the maps of an example."""
    return Picture(
        example.name,
        example.credit,
        None if example.photo is None else _uri(example.photo),
        tuple((model, tuple(_tile(example, model, method) for method in methods)) for model in models),
    )


def _tile(example: Example, model: str, method: str) -> str | None:
    values = example.maps[model][method]
    picture = draw_map(values, signed=is_signed(method, values), side=SIDE, photo=example.photo)
    return None if picture is None else _uri(picture)


def _uri(picture: UInt8[np.ndarray, "row column 3"]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
