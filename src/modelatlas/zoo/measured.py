"""A library's own preprocessing, measured: size, scale, shift and channel order read off plain pictures.

What libraries do before a network is, beside resizing and cropping, x_c = s_c u_k(c) + b_c with u in 0..255
and k the channel order. Five pictures of one colour tell size, s, b and k, whatever the library calls its
settings, and a sixth whether it is so.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from jaxtyping import Float, UInt8

from modelatlas.errors import InputError
from modelatlas.zoo.preprocess import ChannelOrder, Preprocess

__all__ = ["measured_preprocess"]

_SIDE: Final = 512
_COLOURS: Final = ((0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255), (40, 200, 120))

Transform = Callable[[UInt8[np.ndarray, "side side 3"]], Float[np.ndarray, "channel height width"]]


def measured_preprocess(transform: Transform, *, model: str) -> Preprocess:
    """Find the `Preprocess` that does what `transform` does, but for its crop and resizing.

    Raises
    ------
    InputError
        It is no scaling and shifting of colour channels.
    """
    made = [np.asarray(transform(_plain(colour)), dtype=np.float64) for colour in _COLOURS]
    shape = made[0].shape
    if any(array.shape != shape for array in made) or len(shape) != 3 or shape[0] != 3:
        raise InputError(f"{model}: its preprocessing makes {list(shape)}, not [3, height, width]; {_HINT}")
    black, white, red, green, blue, mixed = (_centre(array) for array in made)
    span = white - black
    order = _order(np.stack([red, green, blue]) - black, span)
    if order is not None:
        scale = 255.0 if span.min() > 100 else 1.0  # told in 0..255 where pixels stay as they are
        mean, std = _rounded(-black * scale / span), _rounded(scale / span)
        found = Preprocess(shape[1], shape[2], (0.0, scale), mean, std, order)
        if np.abs(_centre(found.tensor(_plain(_COLOURS[-1]))) - mixed).max() < 1e-3 * np.abs(span).max():
            return found
    raise InputError(f"{model}: its preprocessing does more than scale and shift colours; {_HINT}")


_HINT: Final = "wrap the network in a factory of your own (python:), with a Preprocess"


def _plain(colour: tuple[int, int, int]) -> Any:
    return np.full((_SIDE, _SIDE, 3), colour, dtype=np.uint8)


def _centre(array: Any) -> Any:
    """Take the colour in the middle: some pad the borders."""
    return array[:, array.shape[1] // 2, array.shape[2] // 2]


def _order(shares: Any, total: Any) -> ChannelOrder | None:
    """Which colour goes into which channel, if it is one each; `shares` is [colour, channel]."""
    if np.any(total <= 0):
        return None
    kept = shares / total
    orders: tuple[tuple[ChannelOrder, Any], ...] = (("RGB", np.eye(3)), ("BGR", np.eye(3)[::-1]))
    return next((order for order, mixing in orders if np.allclose(kept, mixing, atol=1e-4)), None)


def _rounded(values: Any) -> tuple[float, ...]:
    """Constants as the library writes them: float32 arithmetic leaves them right to six digits."""
    return tuple(float(f"{value:.6g}") + 0.0 for value in values)
