"""What a built-in probe is made of: a known number of pictures that are made one after the other."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

__all__ = ["View", "Views"]


@dataclass(frozen=True, eq=False)
class View:
    """One picture of a built-in probe, and where it comes from.

    Attributes
    ----------
    id
        Unique within the probe; letters, digits and hyphens.
    pixels
        RGB, 0..255.
    photograph
        The photograph that it was cut from, or None.
    source, licence
        Origin and terms, for people.
    """

    id: str
    pixels: UInt8[np.ndarray, "side side 3"]
    photograph: str | None
    source: str
    licence: str


@dataclass(frozen=True)
class Views:
    """The recipe of a built-in probe.

    Attributes
    ----------
    count
        How many views there are.
    recipe
        Plain values that, with the code's version, say what the views are: another recipe is another probe.
    make
        Makes them.
    """

    count: int
    recipe: Any
    make: Callable[[], Iterator[View]]
