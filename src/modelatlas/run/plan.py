"""What is missing: the maps that were asked for, minus those that are done.

A shard is `SHARD` consecutive images of a model. The methods of a shard share the passes through the
network, so a work item is a range of images of one shard together with all methods that are missing there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from modelatlas.store import SHARD

__all__ = ["WorkItem", "missing"]


@dataclass(frozen=True)
class WorkItem:
    """Images `start` up to, not including, `stop`, all of one shard, by `methods`."""

    start: int
    stop: int
    methods: tuple[str, ...]


def missing(
    images: int, methods: Sequence[str], done: Mapping[int, Mapping[str, int]], *, shard: int = SHARD
) -> tuple[WorkItem, ...]:
    """List the work that is left, in the order of images.

    Parameters
    ----------
    images
        How many are asked for, from the first on.
    methods
        Which are asked for.
    done
        Shard -> method -> images of the shard that are done, counted from its first one. What is done beyond
        what is asked for is ignored.
    shard
        Images of a shard.
    """
    items = []
    for first in range(0, images, shard):
        last = min(first + shard, images)
        have = {method: min(first + done.get(first // shard, {}).get(method, 0), last) for method in methods}
        edges = sorted({*have.values(), last})
        for start, stop in pairwise(edges):
            items.append(WorkItem(start, stop, tuple(method for method in methods if have[method] <= start)))
    return tuple(items)
