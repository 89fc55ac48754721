"""Labels of the camera in its room: the directions of the walls, and the room as a box."""

import math

import numpy as np
from jaxtyping import Float64

__all__ = ["layout", "quarter", "vanishing"]


def quarter(yaw: float) -> int:
    """Return the number of quarter turns from the room's x axis to the axis nearest to the view."""
    return round(yaw / (math.pi / 2)) % 4


def vanishing(rotation: Float64[np.ndarray, "3 3"], yaw: float) -> Float64[np.ndarray, " 9"]:
    """Return the room's three axes in camera axes: the one nearest to the view, its left, up.

    A line along direction d meets the picture's plane at d.xy / -d.z: the vanishing point.
    """
    turn = quarter(yaw) * math.pi / 2
    ahead, left = (math.cos(turn), math.sin(turn), 0), (-math.sin(turn), math.cos(turn), 0)
    return (np.array([ahead, left, (0, 0, 1)]) @ rotation).reshape(9)


def layout(
    size: tuple[float, float, float], location: Float64[np.ndarray, " 3"], rotation: Float64[np.ndarray,
    "3 3"],
    yaw: float,
) -> Float64[np.ndarray, " 9"]:  # fmt: skip
    """Centre of the room in camera axes, yaw against the nearest axis, pitch, roll (0), three extents.

    Sizes are turned with the axes, so the label does not know which way the room was built.
    """
    turns = quarter(yaw)
    relative = (yaw - turns * math.pi / 2 + math.pi) % (2 * math.pi) - math.pi
    pitch = math.asin(min(1.0, max(-1.0, -float(rotation[2, 2]))))
    centre = (np.array(size) / 2 - location) @ rotation
    along, across = (size[0], size[1]) if turns % 2 == 0 else (size[1], size[0])
    return np.array([*centre, relative, pitch, 0.0, along, across, size[2]])
