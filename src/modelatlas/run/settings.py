"""What a run is asked for, checked before anything is run or written."""

import math
from dataclasses import dataclass
from typing import Any, Final

from modelatlas._types import METHODS
from modelatlas.errors import InputError
from modelatlas.space import LINKAGES, SIMILARITIES
from modelatlas.store import SHARD

__all__ = ["FIXED", "PRECISIONS", "Settings"]

PRECISIONS: Final = ("auto", "float32", "float64", "bf16")
FIXED: Final = ("seed", "grid", "epsilon", "precision")
"""Settings that all maps of an atlas share: another value is a conflict."""

_LARGEST_GRID: Final = 1024


@dataclass(frozen=True)
class Settings:
    """Options of a run that hold for all its models.

    Attributes
    ----------
    methods
        Attribution methods, in the order of figures and reports.
    seed
        Of the order of the probe's images.
    grid
        Cells along each axis of a stored map, 1 to 1024.
    epsilon
        The eps of epsilon-lrp, above 0.
    batch
        Images a pass, 1 to 32; None: chosen for each model when it starts.
    device
        `auto`, or a device that torch knows: `cpu`, `cuda`, `cuda:1`, `mps`.
    precision
        In which the maps are computed: float32, float64, bf16 (products in bfloat16), or auto, which takes
        bf16 for a model where a check of its first maps holds.
    threads
        Of torch, at least 1; None: torch's own choice.
    similarity
        Of two maps of an image: `cosine` or `correlation` (see `space.similarity`).
    linkage
        Of the tree.
    patience
        Seconds after which a worker process that neither loads nor finishes a batch is ended, and its model
        left out; above 0, infinite to wait for ever.
    """

    methods: tuple[str, ...] = METHODS
    seed: int = 0
    grid: int = 64
    epsilon: float = 1e-4
    batch: int | None = None
    device: str = "auto"
    precision: str = "float32"
    threads: int | None = None
    similarity: str = "cosine"
    linkage: str = "single"
    patience: float = 3600.0

    def __post_init__(self) -> None:
        """Check every value; `InputError` names the option and what it may be."""
        _need(bool(self.methods), f"no method was given: choose from {', '.join(METHODS)}")
        for method in self.methods:
            _need(method in METHODS, f"unknown method {method!r}: choose from {', '.join(METHODS)}")
        _need(len(set(self.methods)) == len(self.methods), "a method was given twice: give each once")
        _need(self.seed >= 0, f"seed {self.seed}: give a whole number from 0")
        _need(1 <= self.grid <= _LARGEST_GRID, f"grid {self.grid}: give 1 to {_LARGEST_GRID} cells")
        _need(
            math.isfinite(self.epsilon) and self.epsilon > 0, f"epsilon {self.epsilon}: give a number above 0"
        )
        _need(
            self.batch is None or 1 <= self.batch <= SHARD, f"batch {self.batch}: give 1 to {SHARD}, or auto"
        )
        _need(self.threads is None or self.threads >= 1, f"threads {self.threads}: give at least 1")
        _need(self.patience > 0, f"patience {self.patience}: give a number of seconds above 0")
        _need(
            self.precision in PRECISIONS, f"precision {self.precision!r}: choose from {', '.join(PRECISIONS)}"
        )
        _need(
            self.similarity in SIMILARITIES,
            f"unknown similarity {self.similarity!r}: choose from {', '.join(SIMILARITIES)}",
        )
        _need(
            self.similarity == "cosine" or self.grid > 1,
            "similarity correlation needs cells to correlate over: give a grid of at least 2",
        )
        _need(
            self.linkage in LINKAGES, f"unknown linkage {self.linkage!r}: choose from {', '.join(LINKAGES)}"
        )

    def fixed(self) -> dict[str, Any]:
        """Give the settings that all maps of an atlas share."""
        return {name: getattr(self, name) for name in FIXED}


def _need(holds: bool, otherwise: str) -> None:
    if not holds:
        raise InputError(otherwise)
