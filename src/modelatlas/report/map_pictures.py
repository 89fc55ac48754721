"""An attribution map as a picture: colours laid over the greyed, lightened photograph.

Every map is scaled by its own 99th percentile of |value|, so that a few pixels do not dim the rest. Signed
maps take a diverging scale around 0 (red positive, blue negative), saliency one from white. A dead map is
None.
"""

from typing import Final

import numpy as np
from jaxtyping import Float, Float64, UInt8
from PIL import Image

from modelatlas._types import SIGNED
from modelatlas.report.colour import palette

__all__ = ["ROBUST", "draw_map", "is_signed", "map_palette"]

ROBUST: Final = 99
_PHOTO_SHARE: Final = 0.26  # of the range from black to white that the photograph keeps under a map


def is_signed(method: str, values: Float[np.ndarray, "..."]) -> bool:
    """Tell whether a method's maps have signs; of an unknown method, by its values."""
    return method in SIGNED or (method != "saliency" and bool((values < 0).any()))


def map_palette(*, signed: bool) -> Float64[np.ndarray, "256 3"]:
    """Colours from -1 (signed) or 0 (not signed) to 1."""
    return palette("signed") if signed else palette("saliency")


def draw_map(
    values: Float[np.ndarray, "grid grid"],
    *,
    signed: bool,
    side: int,
    photo: UInt8[np.ndarray, "any any 3"] | None = None,
) -> UInt8[np.ndarray, "{side} {side} 3"] | None:
    """Draw one map.

    Parameters
    ----------
    values
        A map on the grid; all 0 where dead.
    signed
        Diverging colours around 0, else sequential from 0.
    side
        Of the picture, in pixels.
    photo
        The probe image's centre square, of any size; without it the ground is white.

    Returns
    -------
        RGB in 0..255, or None where the map is dead.
    """
    values = np.asarray(values, dtype=np.float32)
    if not np.isfinite(values).all() or not values.any():
        return None
    top = float(np.percentile(np.abs(values), ROBUST)) or float(np.abs(values).max())
    smooth = np.asarray(Image.fromarray(values / top).resize((side, side), Image.Resampling.BILINEAR))
    position = np.clip((smooth + 1) / 2 if signed else smooth, 0, 1)
    colours = map_palette(signed=signed)[np.rint(position * 255).astype(np.intp)]
    if photo is not None:
        grey = Image.fromarray(np.ascontiguousarray(photo)).convert("L")
        grey = grey.resize((side, side), Image.Resampling.BILINEAR)
        ground = 1 - _PHOTO_SHARE + _PHOTO_SHARE * np.asarray(grey, dtype=np.float64) / 255
        colours = colours * ground[..., None]
    return np.asarray(np.rint(colours * 255), dtype=np.uint8)
