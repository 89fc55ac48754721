"""Affinities as text: as many digits as the matrix needs, a true minus sign, never a minus before zero."""

import numpy as np
from jaxtyping import Float64

__all__ = ["digits_of", "number", "short"]


def digits_of(values: Float64[np.ndarray, "model model"]) -> int:
    """Digits after the point for the affinities of a matrix: 2, or up to 4 where all are near 0."""
    off = np.abs(values[~np.eye(len(values), dtype=bool)])
    top = float(off.max()) if off.size else 1.0
    return 2 if top >= 0.1 else 3 if top >= 0.01 else 4


def number(value: float, digits: int | None = 2) -> str:
    """Decimal number; with as many digits as it has where `digits` is None."""
    text = f"{value:g}" if digits is None else f"{value:.{digits}f}"
    return (text if float(text) else text.lstrip("-")).replace("-", "\N{MINUS SIGN}")


def short(value: float, digits: int = 2) -> str:
    """Without the zero before the point, to fit a cell."""
    text = number(value, digits)
    return text.replace("0.", ".", 1) if text.lstrip("\N{MINUS SIGN}").startswith("0.") else text
