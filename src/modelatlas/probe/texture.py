"""How textured the images of a probe are: the paper explains differences between its probe sets by that.

Both numbers are of the luma u (ITU-R 601, black 0, white 1) of the centre square, resized to 256 x 256 pixels
(Pillow bilinear, areas are averaged when shrinking), as networks see it.

Gradient energy (energy of the image gradient, Subbarao, Choi and Nikzad 1993), of differences of neighbours:

    E = mean over x, y of (u[y, x+1] - u[y, x])^2 + (u[y+1, x] - u[y, x])^2

Spectrum slope. With a Hann window w and m the mean of u weighted by w, let P(f) be |FFT(w (u - m))|^2
averaged over the frequencies whose distance from zero, rounded, is f cycles a picture. The slope is that of
the straight line fitted by least squares to log amplitude, 1/2 log P(f), over log f, f = 4 to 64. Photographs
of the world are near -1, steeper (more negative) where they have less fine texture (Field 1987; Tolhurst,
Tadmor and Chao 1992; Torralba and Oliva 2003).
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64, UInt8
from PIL import Image

from modelatlas.probe.ahead import in_order
from modelatlas.probe.probe import Probe, Progress

__all__ = ["Spread", "Texture", "gradient_energy", "luma", "probe_texture", "spectrum_slope"]

_SIDE: Final = 256
_LOWEST, _HIGHEST = 4, 64  # cycles a picture: between the window's own width and the resize's blur
_WORKERS: Final = 2


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (n - 1) over images; the deviation of one image is 0."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Summarise values, at least one."""
        return cls(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0)


@dataclass(frozen=True)
class Texture:
    """Texture statistics of a probe set.

    Attributes
    ----------
    gradient_energy
        0 (flat) to 2, without unit.
    spectrum_slope
        Of log amplitude over log frequency, without unit; flat images, which have none, are not counted.
        None: all images are flat.
    """

    gradient_energy: Spread
    spectrum_slope: Spread | None


def probe_texture(probe: Probe, *, progress: Progress | None = None) -> Texture:
    """Texture statistics of all images of a probe.

    Parameters
    ----------
    progress
        Called with "measuring", how many images are done, of how many.

    Raises
    ------
    ProbeError
        A file has gone or changed.
    """
    energies: list[float] = []
    slopes: list[float] = []

    def one(index: int) -> tuple[float, float]:
        grey = luma(probe.square(index))
        return gradient_energy(grey), spectrum_slope(grey)

    with closing(in_order(one, range(len(probe)), workers=_WORKERS, ahead=2 * _WORKERS)) as results:
        for energy, slope in results:
            energies.append(energy)
            slopes.append(slope)
            if progress is not None:
                progress("measuring", len(energies), len(probe))
    finite = [slope for slope in slopes if np.isfinite(slope)]
    return Texture(Spread.of(energies), Spread.of(finite) if finite else None)


def luma(square: UInt8[np.ndarray, "side side 3"]) -> Float64[np.ndarray, "256 256"]:
    """Luma of a probe image's square, 0..1, at 256 x 256 pixels."""
    grey = Image.fromarray(square).convert("L").resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    return np.asarray(grey, dtype=np.float64) / 255


def gradient_energy(grey: Float64[np.ndarray, "height width"]) -> float:
    """E, as the head of this module says; both differences where both neighbours are."""
    across = np.diff(grey, axis=1)[:-1]
    down = np.diff(grey, axis=0)[:, :-1]
    return float(np.mean(across**2 + down**2))


def spectrum_slope(grey: Float64[np.ndarray, "256 256"]) -> float:
    """Slope, as the head of this module says; NaN for an image without any change."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(_SIDE) + 0.5) / _SIDE)
    window = np.outer(hann, hann)
    power = np.abs(np.fft.fft2(window * (grey - np.average(grey, weights=window)))) ** 2
    cycles = np.fft.fftfreq(_SIDE) * _SIDE
    distance = np.rint(np.hypot(cycles[:, None], cycles[None, :])).astype(int)
    mean = np.bincount(distance.ravel(), weights=power.ravel()) / np.bincount(distance.ravel())
    frequencies = np.arange(_LOWEST, _HIGHEST + 1)
    if not mean[frequencies].min() > np.finfo(float).eps ** 2 * _SIDE**4:
        return float("nan")
    slope, _ = np.polyfit(np.log(frequencies), np.log(mean[frequencies]) / 2, 1)
    return float(slope)
