"""From stored maps to results: who is alive, affinity with intervals, tree. Reads the store in blocks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool

from modelatlas._types import METHODS, SIGNED
from modelatlas.space import Affinity, AffinityAccumulator, dead_maps, tree
from modelatlas.store import SHARD, Layout, MapReader, model_key, read_square, remove, write_text

__all__ = ["BOOTSTRAP", "Alive", "alive_maps", "remove_results", "too_dead", "write_results"]

Alive = Mapping[str, Bool[np.ndarray, "model image"]]
"""Method -> which maps are alive."""

REPLICATES: Final = 1000
LEVEL: Final = 0.95
BOOTSTRAP: Final = {"replicates": REPLICATES, "seed": 0, "level": LEVEL}
_BLOCK_BYTES: Final = 256 << 20


def alive_maps(root: Path, models: Sequence[str], methods: Sequence[str], images: int) -> Alive:
    """Find the living maps of some models on the first images, from the stored norms."""
    readers = [MapReader(root, model_key(model)) for model in models]
    if not readers:
        return {}
    return {
        method: dead_maps(np.stack([reader.norms(method, images) for reader in readers]))
        for method in methods
    }


def too_dead(models: Sequence[str], alive: Alive) -> dict[str, str]:
    """Model -> why it cannot be compared.

    A model is left out when over half its maps of a method are dead; then, while two models have no image on
    which both are alive, the one of them that has fewer living maps.
    """
    reasons: dict[str, str] = {}
    for method, living in alive.items():
        for model, row in zip(models, living, strict=True):
            dead = len(row) - int(row.sum())
            if 2 * dead > len(row):
                reasons.setdefault(
                    model,
                    f"{dead} of {len(row)} {method} maps are zero, vanishing or not finite: name another "
                    "target layer (`modelatlas zoo layers` lists them), or leave it out with --exclude",
                )
    for method, living in alive.items():
        kept = [place for place, model in enumerate(models) if model not in reasons]
        while True:
            shared = living[kept].astype(np.int64) @ living[kept].T.astype(np.int64)
            apart = np.argwhere(np.triu(shared == 0, k=1))
            if not len(apart):
                break
            pair = [kept[place] for place in apart[0]]
            loser, other = sorted(pair, key=lambda place: (living[place].sum(), -place))
            reasons[models[loser]] = f"no image with a living {method} map in common with {models[other]}"
            kept.remove(loser)
    return reasons


def remove_results(root: Path, *, keep: Sequence[str], trees: bool) -> None:
    """Remove results, and their figures, of methods that are not asked for; the maps stay.

    Parameters
    ----------
    keep
        Methods whose results stay until they are written anew.
    trees
        Whether their trees do too.
    """
    layout = Layout(root)
    for method in METHODS:
        gone = [] if method in keep else [layout.affinity(method), layout.interval(method)]
        gone += [] if method in keep and trees else [layout.tree(method)]
        kinds = [] if method in keep and trees else ["tree"] if method in keep else ["tree", "affinity"]
        gone += [
            root / "figures" / f"{kind}-{method}{suffix}" for kind in kinds for suffix in (".png", ".svg")
        ]
        for path in gone:
            remove(path)


def write_results(
    root: Path,
    models: Sequence[str],
    method: str,
    living: Bool[np.ndarray, "model image"],
    *,
    similarity: str,
    linkage: str,
    known: bool,
) -> None:
    """Write a method's affinity, its intervals and its tree; one model alone has no tree.

    With `known`, the affinity that is there is of the same maps by the same similarity: it is read, and only
    the tree is made.
    Memory: a block of maps of at most 256 MB, and what the accumulator keeps.
    """
    layout = Layout(root)
    if known and layout.affinity(method).is_file() and layout.interval(method).is_file():
        result = Affinity.from_frame(read_square(layout.affinity(method)))
    else:
        result = _compared(root, models, method, living, similarity)
    if len(models) > 1:
        write_text(layout.tree(method), tree(result, linkage=linkage).newick() + "\n")


def _compared(
    root: Path,
    models: Sequence[str],
    method: str,
    living: Bool[np.ndarray, "model image"],
    similarity: str,
) -> Affinity:
    """Make and write affinity and intervals."""
    images = living.shape[1]
    readers = [MapReader(root, model_key(model)) for model in models]
    collected = AffinityAccumulator(
        models, similarity=similarity, signed=method in SIGNED, bootstrap=REPLICATES, seed=0
    )
    for start, stop in _blocks(readers, method, images):
        maps = np.stack([reader.maps(method, start, stop) for reader in readers])
        collected.add(maps.reshape(*maps.shape[:2], -1), living[:, start:stop])
    result, layout = collected.result(), Layout(root)
    interval = collected.interval(LEVEL)
    write_text(layout.affinity(method), result.frame().to_csv(lineterminator="\n"))
    write_text(layout.interval(method), interval.frame(result).to_csv(index=False, lineterminator="\n"))
    return result


def _blocks(readers: Sequence[MapReader], method: str, images: int) -> list[tuple[int, int]]:
    """Ranges of images within shards, as long as the maps of all models fit into `_BLOCK_BYTES`."""
    one = readers[0].maps(method, 0, 1).nbytes * len(readers)
    step = int(np.clip(_BLOCK_BYTES // one, 1, SHARD))
    return [
        (start, min(start + step, first + SHARD, images))
        for first in range(0, images, SHARD)
        for start in range(first, min(first + SHARD, images), step)
    ]
