"""What an atlas keeps of the probe: its manifest, and small pictures of the first images."""

from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from modelatlas.probe import Probe
from modelatlas.store import Layout, read_thumbnails, write_json, write_thumbnails

__all__ = ["keep_pictures"]

_MOST: Final = 64
_SIDE: Final = 128


def keep_pictures(out: Path, probe: Probe) -> None:
    """Store the manifest; and pictures of 128 pixels of the first 64 images, where they are not there yet."""
    write_json(Layout(out).manifest, probe.manifest())
    wanted = [image.id for image in probe.images[:_MOST]]
    if not set(wanted) <= set(read_thumbnails(out)):
        write_thumbnails(out, {name: _small(probe.square(place)) for place, name in enumerate(wanted)})


def _small(square: UInt8[np.ndarray, "side side 3"]) -> UInt8[np.ndarray, "small small 3"]:
    return np.asarray(Image.fromarray(square).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR))
