"""Woven, printed, laid: pictures for rugs, wallpapers, planks and tiles, made from a seed.

They need no attribution, and two seeds share no texture, which keeps test rooms apart from training rooms
where the few photographed textures would not.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

__all__ = ["PATTERNS", "draw"]

Colours = Sequence[Sequence[float]]


def draw(pattern: str, seed: str, colours: Colours, size: int = 384) -> np.ndarray:
    """Return a tileable picture, float32 [size, size, 3] in linear [0, 1]."""
    digest = hashlib.sha256(f"{pattern}/{seed}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    picture = PATTERNS[pattern](rng, np.asarray(colours, np.float32), size)
    return np.clip(picture, 0, 1).astype(np.float32)


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    return x, y


def _noise(rng: np.random.Generator, size: int, cells: tuple[int, int]) -> np.ndarray:
    """Smooth periodic noise in about [-1, 1] with `cells` waves along y and x."""
    spectrum = np.zeros((size, size), np.complex64)
    for _ in range(24):
        fy, fx = rng.integers(-cells[0], cells[0] + 1), rng.integers(-cells[1], cells[1] + 1)
        spectrum[fy, fx] += np.exp(2j * np.pi * rng.random()) / 8
    return np.real(np.fft.ifft2(spectrum) * size * size).astype(np.float32)


def _weave(rng: np.random.Generator, picture: np.ndarray, strength: float = 0.08) -> np.ndarray:
    grain = rng.normal(0, strength, picture.shape[:2]).astype(np.float32)
    return picture * (1 + grain[..., None])


def _stripes(rng: np.random.Generator, colours: np.ndarray, size: int) -> np.ndarray:
    x, _ = _grid(size)
    edges = np.sort(rng.random(rng.integers(4, 10)))
    which = np.searchsorted(edges, x) % len(edges) % len(colours)
    return colours[which] * 0.6 + 0.35


def _checks(rng: np.random.Generator, colours: np.ndarray, size: int) -> np.ndarray:
    x, y = _grid(size)
    count = int(rng.integers(3, 7)) * 2
    odd = ((np.floor(x * count) % 2) + (np.floor(y * count) % 2)) / 2
    return _weave(
        rng, (colours[0] * odd[..., None] + (1 - odd[..., None]) * (0.5 + 0.5 * colours[1])) * 0.8, 0.03
    )


def _dots(rng: np.random.Generator, colours: np.ndarray, size: int) -> np.ndarray:
    x, y = _grid(size)
    count = int(rng.integers(4, 9))
    row = np.floor(y * count * 2)
    u, v = (x * count + 0.5 * (row % 2)) % 1 - 0.5, (y * count * 2) % 1 - 0.5
    inside = np.hypot(u, v / 1.6) < rng.uniform(0.12, 0.3)
    return np.where(inside[..., None], colours[0], 0.55 + 0.4 * colours[1])


def _damask(rng: np.random.Generator, colours: np.ndarray, size: int) -> np.ndarray:
    x, y = _grid(size)
    k = rng.integers(2, 5, 4)
    wave = np.sin(2 * np.pi * k[0] * x) * np.sin(2 * np.pi * k[1] * y)
    wave = wave + 0.6 * np.cos(2 * np.pi * k[2] * (x + y)) + 0.6 * np.cos(2 * np.pi * k[3] * (x - y))
    inside = 1 / (1 + np.exp(-12 * (np.abs(wave) - 0.5)))
    ground = 0.45 + 0.45 * colours[1]
    figure = ground * (0.45 + 0.4 * rng.random() + 0.2 * colours[0])
    return ground * (1 - inside[..., None]) + inside[..., None] * figure


def _planks(rng: np.random.Generator, colours: np.ndarray, size: int) -> np.ndarray:
    """Boards along x, each with its own shade, joints and grain."""
    x, y = _grid(size)
    rows = int(rng.integers(8, 14))
    row = np.floor(y * rows).astype(int)
    shift = rng.random(rows)[row]
    board = np.floor((x + shift) * 2).astype(int) % 2
    shade = rng.normal(1, 0.13, (rows, 2)).astype(np.float32)[row, board]
    wood = np.array([0.42, 0.25, 0.13], np.float32) * rng.uniform(0.4, 1.4) + rng.uniform(0, 0.12)
    grain = 1 + 0.10 * _noise(rng, size, (60, 3))
    joint = np.minimum((y * rows) % 1, 1 - (y * rows) % 1) < 0.03
    joint |= np.abs(((x + shift) * 2) % 1 - 0.5) > 0.494
    picture = wood * (0.85 + 0.15 * colours[0] / colours[0].max()) * (shade * grain)[..., None]
    return np.where(joint[..., None], picture * 0.45, picture)


def _tiles(rng: np.random.Generator, colours: np.ndarray, size: int) -> np.ndarray:
    """Square tiles with joints; shades vary a little, every so often a second colour."""
    x, y = _grid(size)
    count = int(rng.integers(4, 9))
    row, column = np.floor(y * count).astype(int), np.floor(x * count).astype(int)
    shade = rng.normal(1, 0.04, (count, count)).astype(np.float32)[row, column]
    second = (rng.random((count, count)) < rng.choice([0.0, 0.0, 0.15]))[row, column]
    if rng.random() < 0.3:
        second = (row + column) % 2 == 1
    plain = 0.45 + 0.5 * colours[0] if rng.random() < 0.7 else 0.1 + 0.6 * colours[0]
    picture = (
        np.where(second[..., None], colours[1], plain)
        * (shade * (1 + 0.03 * _noise(rng, size, (9, 9))))[..., None]
    )
    u, v = (x * count) % 1, (y * count) % 1
    joint = np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v)) < 0.025
    return np.where(joint[..., None], rng.uniform(0.35, 0.8), picture)


def _rug(rng: np.random.Generator, colours: np.ndarray, size: int) -> np.ndarray:
    """Draw a field with a repeated figure inside two borders: mirrored, as woven rugs are."""
    x, y = _grid(size)
    u, v = np.abs(2 * x - 1), np.abs(2 * y - 1)
    edge = 1 - np.maximum(u, v)
    k = rng.integers(2, 7, 3)
    figure = np.cos(np.pi * k[0] * u) * np.cos(np.pi * k[1] * v) + 0.7 * np.cos(np.pi * k[2] * (u + v))
    field = np.select([figure > 0.6, figure < -0.5], [1, 2], 0)
    if rng.random() < 0.25:
        field = (np.floor((y if rng.random() < 0.5 else x) * rng.integers(6, 16)) % 3).astype(int)
    which = np.select([edge < 0.05, edge < 0.16, edge < 0.2], [3, np.where(figure > 0, 1, 0), 2], field)
    if rng.random() < 0.3:
        which = np.where(edge < 0.08, 1, 0)
    return _weave(rng, colours[which % len(colours)], 0.12)


PATTERNS = {
    "stripes": _stripes, "checks": _checks, "dots": _dots, "damask": _damask, "planks": _planks,
    "tiles": _tiles,
    "rug": _rug,
}  # fmt: skip
