"""The collected networks' random weights and inputs, the same in both environments (see drawn.py).

Kernels above a million numbers repeat the first 1,048,573 (a prime, so that no two filters are alike):
drawing all 103 million of a single layer would take longer than running it.
"""

import numpy as np
from drawn import picture, uniform

__all__ = ["INPUTS", "drawn", "images"]

_LONGEST = 1_048_573
_SEED = 8
INPUTS = {  # height, width: as small as the network allows, not square or odd where it takes that
    "inpainting": (64, 96), "fcrn": (122, 158), "prn": (64, 64), "fcn": (112, 80), "tiny_face": (112, 176),
    "colorization": (256, 256),
}  # fmt: skip
_SCALES = ("/gamma", "/scale", "_scale")
_VARIANCES = ("/moving_variance", "/variance", "_variance")


def drawn(name: str, shape: tuple) -> np.ndarray:
    """Draw one variable, float32, by its name in the reference."""
    count = int(np.prod(shape))
    values = uniform((min(count, _LONGEST),), seed=_SEED, name=name)
    if name.endswith(_SCALES):
        # a residual branch ends small, or fifty of them would add up to a billion
        values = (1 + values / 2) * (1 / 3 if "branch2c" in name else 1)
    elif name.endswith(_VARIANCES):
        values = 1 + values / 2
    elif len(shape) == 4:
        values = values * np.sqrt(6 / np.prod(shape[:3]))
    else:
        values = values / 10
    return np.resize(values.astype(np.float32), shape)


def images(network: str) -> np.ndarray:
    """Draw the network's input [1, height, width, channels], float32, as its code prepares it."""
    pixels = picture(*INPUTS[network], seed=_SEED).astype(np.float64)
    if network == "inpainting":
        height, width = pixels.shape[:2]
        prepared = pixels[..., ::-1] / 127.5 - 1
        prepared = np.where(hole(height, width)[..., None] == 1, 0.0, prepared)
    elif network == "prn":
        prepared = pixels / 255
    elif network == "colorization":
        prepared = (pixels @ np.array([0.299, 0.587, 0.114]))[..., None]
    elif network == "fcn":
        prepared = pixels - np.array([123.68, 116.779, 103.939])
    elif network == "tiny_face":
        prepared = pixels - np.array([119.29959869, 110.54627228, 101.8384321])
    else:
        prepared = pixels
    return np.ascontiguousarray(prepared[None], dtype=np.float32)


def hole(height: int, width: int) -> np.ndarray:
    """Make the mask [height, width]: ones in the centred rectangle of half the height and half the width."""
    mask = np.zeros((height, width), np.float32)
    rows, columns = height // 2, width // 2
    mask[(height - rows) // 2 :, (width - columns) // 2 :][:rows, :columns] = 1
    return mask
