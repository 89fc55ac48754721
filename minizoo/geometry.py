"""Boxes, walls, and what a planned room consists of: plain data, metres, z up, no renderer.

The floor is [0, width] x [0, depth]. Walls are numbered 0: y = depth, 1: x = 0, 2: y = 0, 3: x = width; a
thing with `turns` = w (counter-clockwise quarter turns) stands with its back to wall w.
"""

import hashlib
import math
import random
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = [
    "Box",
    "Opening",
    "Placement",
    "Room",
    "box_of",
    "inward",
    "overlap",
    "rng_for",
    "wall_length",
    "wall_point",
]


class Box(NamedTuple):
    """An axis-aligned box."""

    x0: float
    x1: float
    y0: float
    y1: float
    z0: float
    z1: float


@dataclass(frozen=True)
class Placement:
    """One thing in a room; its origin is the middle of its footprint, at its lowest point."""

    item: str  # a catalogue id, or "maker#..." for what the maker builds itself (rug, picture)
    kind: str
    cls: str
    x: float
    y: float
    z: float
    turns: float
    size: tuple[float, float, float]
    support: int | None = None  # index of the placement it stands on
    tint: tuple[float, float, float, float] | None = None  # hue turn, factors of red, green, blue
    surface: dict | None = None  # material of a thing that the maker builds


@dataclass(frozen=True)
class Opening:
    """A door or window in a wall; `centre` runs along the wall."""

    wall: int
    centre: float
    width: float
    sill: float
    height: float
    item: str
    cls: str


@dataclass
class Room:
    """A planned room: all that the scene needs, and all that a label needs to know."""

    building: str
    index: int
    place: str
    size: tuple[float, float, float]
    openings: list[Opening] = field(default_factory=list)
    placements: list[Placement] = field(default_factory=list)
    surfaces: dict[str, dict] = field(default_factory=dict)  # wall0..wall3, floor, ceiling, skirting
    light: dict = field(default_factory=dict)


def rng_for(*parts: object) -> random.Random:
    """Return a generator seeded by words: the same words give the same room on every machine and Python."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))


def overlap(a: Box, b: Box, gap: float = 0.0) -> bool:
    """Tell whether two boxes come closer than `gap` sideways while sharing a height."""
    return (
        a.x0 < b.x1 + gap and a.x1 > b.x0 - gap
        and a.y0 < b.y1 + gap and a.y1 > b.y0 - gap
        and a.z0 < b.z1 - 1e-3 and a.z1 > b.z0 + 1e-3
    )  # fmt: skip


def box_of(size: tuple[float, float, float], x: float, y: float, z: float, turns: float) -> Box:
    """Return the box round a turned thing; exact for quarter turns, circumscribed for others."""
    angle = turns * math.pi / 2
    c, s = abs(math.cos(angle)), abs(math.sin(angle))
    half_x, half_y = (size[0] * c + size[1] * s) / 2, (size[0] * s + size[1] * c) / 2
    return Box(x - half_x, x + half_x, y - half_y, y + half_y, z, z + size[2])


def inward(wall: int) -> tuple[int, int]:
    """Return the direction from a wall into the room."""
    return ((0, -1), (1, 0), (0, 1), (-1, 0))[wall % 4]


def wall_length(size: tuple[float, float, float], wall: int) -> float:
    """Length of a wall."""
    return size[0] if wall % 2 == 0 else size[1]


def wall_point(size: tuple[float, float, float], wall: int, along: float, out: float) -> tuple[float, float]:
    """Return the floor point `along` a wall and `out` metres from it (negative: behind it)."""
    width, depth, _ = size
    return ((along, depth - out), (out, along), (along, out), (width - out, along))[wall % 4]
