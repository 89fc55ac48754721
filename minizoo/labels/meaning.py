"""Labels that say what is there: class of every pixel, share of every kind of object, kind of room."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8

from minizoo.kinds import KINDS, PLACES, SEMANTIC

__all__ = ["OBJECTS", "VOID", "object_shares", "place_index", "semantic"]

VOID = 255
OBJECTS = (*(kind.name for kind in KINDS), "rug", "picture")
_LEAST = 0.002  # share of the picture from which an object counts


def semantic(instance: Int[np.ndarray, "h w"], instances: Sequence[dict]) -> UInt8[np.ndarray, "h w"]:
    """Index into the 17 classes of `SEMANTIC`; 255 for everything else."""
    table = np.full(256, VOID, np.uint8)
    for number, entry in enumerate(instances, 1):
        if entry["cls"] in SEMANTIC:
            table[number] = SEMANTIC.index(entry["cls"])
    return table[instance]


def object_shares(instance: Int[np.ndarray, "h w"], instances: Sequence[dict]) -> Float[np.ndarray, " kind"]:
    """Soft label over kinds of objects: root of the visible area, normalised; zeros if all is small.

    In place of the scores of an ImageNet teacher: what fills the view counts most, but not in proportion.
    """
    shares = np.zeros(len(OBJECTS))
    numbers, counts = np.unique(instance, return_counts=True)
    for number, count in zip(numbers, counts, strict=True):
        if number == 0 or count <= _LEAST * instance.size:
            continue
        kind = instances[number - 1]["kind"]
        if kind in OBJECTS:
            shares[OBJECTS.index(kind)] += np.sqrt(count)
    return shares / max(shares.sum(), 1e-12)


def place_index(place: str) -> int:
    """Index of a kind of room."""
    return PLACES.index(place)
