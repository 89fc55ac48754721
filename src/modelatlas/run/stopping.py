"""Enough images: the run grows by stages until every affinity is known well enough.

A stage is a prefix of the probe, so what one stage computed the next one keeps. Which stages there are
depends on nothing but the number of images, and intervals on the stored maps alone: a run that is resumed or
repeated stops at the same stage. Looking several times makes the last interval a little too narrow, as
every sequential rule does; the stages grow by half to look seldom.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from modelatlas.errors import InputError
from modelatlas.store import SHARD, Layout, read_long

__all__ = ["Widest", "check_width", "stages", "stop_document", "widest_interval"]

_GROWTH: Final = 1.5


@dataclass(frozen=True)
class Widest:
    """The least known affinity: half the width of its 95 % interval, its models, the method."""

    half_width: float
    source: str
    target: str
    method: str


def check_width(width: float) -> None:
    """Refuse a width that is no positive number."""
    if not (math.isfinite(width) and width > 0):
        raise InputError(f"until {width}: give the half-width of an affinity's interval, above 0, as in 0.02")


def stages(images: int, *, shard: int = SHARD) -> Iterator[int]:
    """Numbers of images at which a run looks whether it is done; the last one is `images`."""
    count = shard
    while count < images:
        yield count
        count = shard * math.ceil(_GROWTH * count / shard)
    yield images


def widest_interval(root: Path, methods: Sequence[str], models: Sequence[str]) -> Widest | None:
    """Find the widest interval between two of the models over all methods; None where there is no pair."""
    found: Widest | None = None
    for method in methods if models else ():
        table = read_long(Layout(root).interval(method), models=models)
        pairs = table[table.source != table.target]
        if pairs.empty:
            continue
        halves = (pairs.high - pairs.low) / 2
        row = pairs.iloc[int(halves.argmax())]
        if found is None or halves.max() > found.half_width:
            found = Widest(float(halves.max()), str(row.source), str(row.target), method)
    return found


def stop_document(asked: float, widest: Widest | None, *, images: int, available: int) -> dict[str, Any]:
    """Say in `atlas.json` what was asked for, where the run stopped and what that saved."""
    return {
        "half_width": asked,
        "reached": widest is None or widest.half_width <= asked,
        "widest": None if widest is None else asdict(widest),
        "images": images,
        "available": available,
        "saved": 1 - images / available,
    }
