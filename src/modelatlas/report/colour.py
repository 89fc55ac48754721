"""Colours: perceptually uniform scales, made in OKLab, and the scale of a matrix.

A scale is a path through OKLab (Ottosson 2020, "A perceptual color space for image processing"), sampled at
equal steps of its Euclidean distance, so that equal steps of a value look equally large; lightness only falls
(sequential) or falls from the middle to both ends (diverging), so it is read in grey and by the colour-blind.
On a dark page lightness is turned round: what is strong stands out from the ground either way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal, Self

import numpy as np
from jaxtyping import Float, Float64

__all__ = ["Palette", "Scale", "contrast", "hex_colour", "ink_on", "palette"]

Palette = Literal["sequential", "diverging", "saliency", "signed", "sequential-dark", "diverging-dark"]

# Knots (lightness, chroma, hue in degrees).
_KNOTS: Final[dict[str, tuple[tuple[float, float, float], ...]]] = {
    "sequential": (
        (0.975, 0.025, 105), (0.86, 0.085, 140), (0.71, 0.105, 180),
        (0.55, 0.105, 225), (0.40, 0.115, 265), (0.27, 0.10, 285),
    ),
    "sequential-dark": (
        (0.27, 0.035, 275), (0.38, 0.10, 275), (0.52, 0.115, 245),
        (0.67, 0.105, 200), (0.81, 0.115, 160), (0.95, 0.10, 110),
    ),
    "saliency": (
        (0.985, 0.012, 90), (0.89, 0.085, 80), (0.77, 0.145, 62),
        (0.61, 0.18, 38), (0.44, 0.155, 18), (0.26, 0.09, 355),
    ),
    "signed": (
        (0.31, 0.12, 275), (0.49, 0.155, 262), (0.73, 0.10, 245), (0.985, 0.003, 90),
        (0.77, 0.125, 33), (0.565, 0.195, 27), (0.36, 0.14, 22),
    ),
    "diverging": (
        (0.37, 0.115, 32), (0.56, 0.145, 42), (0.76, 0.105, 55), (0.975, 0.004, 90),
        (0.72, 0.095, 230), (0.50, 0.125, 255), (0.33, 0.12, 270),
    ),
    "diverging-dark": (
        (0.91, 0.075, 85), (0.73, 0.14, 58), (0.50, 0.115, 42), (0.27, 0.006, 270),
        (0.48, 0.11, 258), (0.72, 0.12, 235), (0.92, 0.07, 200),
    ),
}  # fmt: skip

NEGATIVES_MATTER: Final = 0.1
"""Share of the largest affinity from which on the lowest one, below 0, asks for a diverging scale."""


@dataclass(frozen=True)
class Scale:
    """Which colour stands for which value.

    Attributes
    ----------
    low, high
        Values at the ends; values beyond are drawn in the colour of the end. low < high.
    diverging
        Around 0 at the middle (low = -high), else from low to high.
    """

    low: float
    high: float
    diverging: bool

    @classmethod
    def of(cls, values: Float[np.ndarray, "model model"]) -> Self:
        """Scale of a matrix by what is off its diagonal, which is 1 by definition and would wash it out.

        The ends are rounded outwards to 0.05, so that affinities that are all near 0 look alike, as they are.
        """
        off = values[~np.eye(len(values), dtype=bool)]
        if off.size == 0:
            return cls(0.0, 1.0, diverging=False)
        low, high = float(off.min()), float(off.max())
        if low < -NEGATIVES_MATTER * max(high, 0.0):
            end = max(0.05, np.ceil(max(-low, high) * 20 - 1e-9) / 20)
            return cls(-end, end, diverging=True)
        low, high = np.floor(low * 20 + 1e-9) / 20, np.ceil(high * 20 - 1e-9) / 20
        if high - low < 0.1:
            low, high = (low - 0.05, high) if high >= 1 else (low, low + 0.1)
        return cls(round(float(low), 2) + 0.0, round(float(high), 2), diverging=False)

    @property
    def name(self) -> Literal["sequential", "diverging"]:
        """Of the palette that fits."""
        return "diverging" if self.diverging else "sequential"

    def position(self, values: Float[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
        """Where on the scale the values lie, in [0, 1]."""
        return np.clip((np.asarray(values, dtype=np.float64) - self.low) / (self.high - self.low), 0.0, 1.0)

    def ticks(self) -> tuple[float, ...]:
        """Three to six round values from end to end."""
        for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0):
            first = np.ceil(self.low / step - 1e-9)
            count = int(np.floor(self.high / step + 1e-9) - first) + 1
            if count <= 6:
                return tuple(round(float((first + i) * step), 4) + 0.0 for i in range(count))
        return (self.low, self.high)


@cache
def palette(name: Palette, steps: int = 256) -> Float64[np.ndarray, "step 3"]:
    """SRGB colours in [0, 1] at equal perceptual steps."""
    knots = _oklab(*np.array(_KNOTS[name]).T)
    path = np.stack(
        [np.interp(np.linspace(0, len(knots) - 1, 2001), np.arange(len(knots)), k) for k in knots.T], 1
    )
    path = _oklab_of_srgb(_srgb(path))  # as shown: chroma beyond the screen's gamut is cut off
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    if name.startswith(("diverging", "signed")):  # the middle stays in the middle
        at = np.interp(np.linspace(-1, 1, steps), [-1, 0, 1], [0, length[1000], length[-1]])
    else:
        at = np.linspace(0, length[-1], steps)
    colours = _srgb(np.stack([np.interp(at, length, band) for band in path.T], axis=1))
    colours.flags.writeable = False
    return colours


def hex_colour(rgb: Sequence[float] | Float[np.ndarray, " 3"]) -> str:
    """As in CSS: `#rrggbb`."""
    return "#" + "".join(f"{round(float(band) * 255):02x}" for band in rgb)


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two `#rrggbb` colours, 1 to 21 (WCAG 2.2, relative luminance)."""
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def ink_on(ground: str) -> str:
    """Black or white, whichever is read more easily on a ground; at least 4.58 : 1."""
    return max(("#000000", "#ffffff"), key=lambda ink: contrast(ink, ground))


def _luminance(colour: str) -> float:
    rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return float(_linear(rgb) @ [0.2126, 0.7152, 0.0722])


def _linear(srgb: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
    return np.asarray(np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4))


def _oklab(
    lightness: Float64[np.ndarray, " n"], chroma: Float64[np.ndarray, " n"], hue: Float64[np.ndarray, " n"]
) -> Float64[np.ndarray, "n 3"]:
    angle = np.deg2rad(hue)
    return np.stack([lightness, chroma * np.cos(angle), chroma * np.sin(angle)], axis=1)


_LMS_OF_LAB: Final = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
_RGB_OF_LMS: Final = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def _srgb(lab: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 3"]:
    linear = np.clip((lab @ _LMS_OF_LAB.T) ** 3 @ _RGB_OF_LMS.T, 0.0, 1.0)
    return np.asarray(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055))


def _oklab_of_srgb(srgb: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 3"]:
    lms = _linear(srgb) @ np.linalg.inv(_RGB_OF_LMS).T
    return np.asarray(np.cbrt(lms) @ np.linalg.inv(_LMS_OF_LAB).T)
