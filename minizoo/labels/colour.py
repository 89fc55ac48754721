"""Labels that need only the picture: edges, keypoints, colour classes, and inputs spoilt on purpose."""

import hashlib
from functools import cache

import numpy as np
from jaxtyping import Float, Int
from skimage import color, feature, filters, util

__all__ = ["bins", "color_classes", "edges", "grey", "holed", "keypoints", "noisy"]

_STEP = 10  # width of a cell of the ab plane
_SCALES = (1.2, 2.0, 3.2)
_BORDER = 16


def edges(picture: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """Strength of edges: Sobel's gradient of the smoothed grey picture, Canny without thinning."""
    return filters.sobel(filters.gaussian(color.rgb2gray(picture), 1.0))


def keypoints(picture: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """Root of SURF's detector: max over scales of s^4 det(Hessian), where positive (Bay et al. 2008, eq. 3).

    Deviation: the root, since the determinant is peaked (median 3e-5, 99 % 0.07) and L1 would be won by a
    constant. The picture is mirrored at its border, where box filters would otherwise answer to the frame.
    """
    plain = np.pad(color.rgb2gray(picture), _BORDER, mode="symmetric")
    strength = [s**4 * np.maximum(feature.hessian_matrix_det(plain, sigma=s), 0) for s in _SCALES]
    return np.sqrt(np.max(strength, axis=0))[_BORDER:-_BORDER, _BORDER:-_BORDER]


@cache
def bins() -> Float[np.ndarray, "n 2"]:
    """Centres of the cells of the ab plane that a display's colours fall into.

    Zhang et al. 2016 use 313 cells of a file; multiples of ten inside the sRGB gamut give 259.
    """
    steps = np.linspace(0, 1, 33)
    cube = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 1, 3)
    return (
        np.unique(np.round(color.rgb2lab(cube)[:, 0, 1:] / _STEP).astype(int), axis=0).astype(float) * _STEP
    )


def color_classes(picture: Float[np.ndarray, "h w 3"]) -> Int[np.ndarray, "h w"]:
    """Index of the nearest cell for every pixel."""
    ab = color.rgb2lab(picture)[..., 1:]
    table = _table()
    cell = np.round(ab / _STEP).astype(int) + _OFFSET
    return table[np.clip(cell[..., 0], 0, 2 * _OFFSET), np.clip(cell[..., 1], 0, 2 * _OFFSET)]


_OFFSET = 13


@cache
def _table() -> Int[np.ndarray, "a b"]:
    """Nearest used cell for every cell of the square grid."""
    side = np.arange(-_OFFSET, _OFFSET + 1) * _STEP
    grid = np.stack(np.meshgrid(side, side, indexing="ij"), -1)
    return ((grid[..., None, :] - bins()) ** 2).sum(-1).argmin(-1)


def grey(picture: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """Lightness in three equal channels, in [0, 1]: what colorization is shown."""
    return np.repeat(color.rgb2lab(picture)[..., :1] / 100, 3, axis=-1)


def noisy(picture: Float[np.ndarray, "h w 3"], name: str) -> Float[np.ndarray, "h w 3"]:
    """Gaussian noise of variance 0.01, the same for a view every time."""
    digest = hashlib.sha256(f"noise/{name}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    return util.random_noise(picture, mode="gaussian", var=0.01, rng=rng)


def holed(picture: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """Replace the middle half of both sides by grey."""
    height, width = picture.shape[:2]
    out = picture.copy()
    out[height // 4 : height - height // 4, width // 4 : width - width // 4] = 0.5
    return out
