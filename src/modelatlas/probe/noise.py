"""The built-in probe `noise`: pictures of nothing, with the spectrum of photographs (amplitude about 1/f).

A control: affinities that stay the same on it do not come from what the pictures show. Each picture is the
sum of uniform noise at seven scales, 4 to 256 pixels a side, each enlarged bilinearly and weighted alike,
around grey. The noise is SHAKE-256 of the picture's number, and all arithmetic is in whole numbers: the same
everywhere.
"""

import hashlib
from collections.abc import Iterator
from typing import Final

import numpy as np
from PIL import Image

from modelatlas.probe.views import View, Views

__all__ = ["noise_views"]

_COUNT: Final = 64
_SCALES: Final = (4, 8, 16, 32, 64, 128, 256)


def noise_views() -> Views:
    """Recipe of the probe; nothing is made before its views are iterated over."""
    return Views(_COUNT, {"count": _COUNT, "scales": _SCALES}, _make_all)


def _make_all() -> Iterator[View]:
    for number in range(_COUNT):
        yield View(f"noise-{number:02d}", _picture(number), None, "made by ModelAtlas", "Apache-2.0")


def _picture(number: int) -> np.ndarray:
    largest = _SCALES[-1]
    total = np.zeros((largest, largest, 3), np.int16)
    for scale in _SCALES:
        stream = hashlib.shake_256(f"modelatlas noise {number} {scale}".encode()).digest(scale * scale * 3)
        small = Image.fromarray(np.frombuffer(stream, np.uint8).reshape(scale, scale, 3))
        total += np.asarray(small.resize((largest, largest), Image.Resampling.BILINEAR), np.int16) - 128
    return np.clip(128 + total // 3, 0, 255).astype(np.uint8)
