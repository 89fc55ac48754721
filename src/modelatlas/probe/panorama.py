"""Flat views of a panorama (equirectangular: longitude across, latitude down).

A view looks along yaw a (degrees to the right of the middle column) and pitch b (degrees up) through a
pinhole whose field of view is f. With u, v in (-1, 1) across and down the square and t = tan(f / 2), its ray
is

    (x, y, z) = (u t, v t, 1)              right, down, ahead
    z' = z cos b + y sin b,   y' = y cos b - z sin b
    longitude = a + atan2(x, z'),   latitude = atan2(y', hypot(x, z'))      (positive is down)

Positions are rounded to 1/256 of a pixel and blended in whole numbers, so that every machine gets the same
bytes.
"""

import numpy as np
from jaxtyping import UInt8

__all__ = ["flat_view"]


def flat_view(
    panorama: UInt8[np.ndarray, "height width 3"],
    *,
    yaw: float,
    pitch: float,
    field_of_view: float,
    side: int,
) -> UInt8[np.ndarray, "side side 3"]:
    """Look into a panorama.

    Parameters
    ----------
    panorama
        Whole sphere, width = 2 * height, RGB.
    yaw, pitch, field_of_view
        Degrees; the field of view is below 180.
    side
        Pixels of the view.
    """
    height, width = panorama.shape[:2]
    grid = (np.arange(side) + 0.5) / side * 2.0 - 1.0
    reach = np.tan(np.deg2rad(field_of_view) / 2.0)
    x, y = np.meshgrid(grid * reach, grid * reach)
    sine, cosine = np.sin(np.deg2rad(pitch)), np.cos(np.deg2rad(pitch))
    ahead, down = cosine + y * sine, y * cosine - sine
    longitude = np.deg2rad(yaw) + np.arctan2(x, ahead)
    latitude = np.arctan2(down, np.hypot(x, ahead))
    column = (longitude / (2.0 * np.pi) + 0.5) * width - 0.5
    row = np.clip((latitude / np.pi + 0.5) * height - 0.5, 0, height - 1)
    return _blend(panorama, np.rint(column * 256).astype(np.int64), np.rint(row * 256).astype(np.int64))


def _blend(panorama: np.ndarray, column: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Bilinear interpolation at positions in 1/256 of a pixel; columns go round, rows end at the poles."""
    height, width = panorama.shape[:2]
    left, top = column >> 8, row >> 8
    right_share, low_share = (column & 255)[..., None], (row & 255)[..., None]
    below = np.minimum(top + 1, height - 1)

    def across(rows: np.ndarray) -> np.ndarray:
        near, far = panorama[rows, left % width], panorama[rows, (left + 1) % width]
        return np.asarray(near * (256 - right_share) + far * right_share)

    total = across(top) * (256 - low_share) + across(below) * low_share
    return np.asarray((total + (1 << 15)) >> 16, np.uint8)
