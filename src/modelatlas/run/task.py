"""One model's share of a run: what it is, what of it is missing, and what fixes its numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelatlas._ids import fingerprint
from modelatlas.run.plan import WorkItem, missing
from modelatlas.run.settings import Settings
from modelatlas.store import FORMAT, SHARD, Journal, MapReader, Mark, model_key
from modelatlas.zoo import ModelSpec

__all__ = ["ModelTask", "map_fingerprint", "planned"]


@dataclass(frozen=True)
class ModelTask:
    """All that a worker needs to chart a model, beside the probe.

    Attributes
    ----------
    name
        In tables and figures.
    spec
        What to load, with the target layer if one was asked for.
    settings
        Of the run.
    images
        How many of the probe's images are asked for.
    items
        The work that is left.
    record
        What fixed the numbers of its maps when it first started; None where it never did.
    batch
        Images a pass that override the record and the settings, after memory ran out.
    seconds
        Spent on its maps so far.
    origin
        Fingerprint of where the weights come from, None where it says nothing about their content.
    trust_code
        Whether the user's code may run.
    """

    name: str
    spec: ModelSpec
    settings: Settings
    images: int
    items: tuple[WorkItem, ...] = ()
    record: Mapping[str, Any] | None = None
    batch: int | None = None
    origin: str | None = None
    seconds: float = 0.0
    trust_code: bool = False

    @property
    def key(self) -> str:
        """Folder name of the model."""
        return model_key(self.name)

    @property
    def missing(self) -> int:
        """Number of images that some method is missing on."""
        return sum(item.stop - item.start for item in self.items)


def map_fingerprint(identity: Mapping[str, Any], settings: Settings, method: str) -> str:
    """Fingerprint of all that fixes a model's maps of one method, but the images.

    The batch size, threads and device are not in it: they move float32 maps by rounding alone (method.md,
    "Traps").
    """
    epsilon = settings.epsilon if method == "epsilon-lrp" else None
    fixed = {"format": FORMAT, "grid": settings.grid, "precision": settings.precision, "epsilon": epsilon}
    return fingerprint({"identity": identity, "method": method, **fixed})


def planned(root: Path, task: ModelTask, images: Sequence[str]) -> ModelTask:
    """Bring a task up to what the atlas holds: its record, and the work that is left.

    Left are all maps that are asked for, minus those whose mark, chunks, images and fingerprint are right.

    Parameters
    ----------
    root
        The atlas folder.
    task
        The model; its `items`, `seconds` and `record` are not looked at.
    images
        SHA-256 of the probe's images, in order, as many as are asked for.
    """
    journal, reader = Journal(root, task.key), MapReader(root, task.key)
    record, marks, methods = journal.record(), journal.marks(), task.settings.methods
    if record is None or not marks:  # without maps nothing holds it to its record
        return replace(task, record=None, items=missing(len(images), methods, {}))
    wanted = {method: map_fingerprint(record["identity"], task.settings, method) for method in methods}

    def done(shard: int, mark: Mark) -> dict[str, int]:
        counts = mark.done_of(images[shard * SHARD : (shard + 1) * SHARD], wanted)
        return {method: count for method, count in counts.items() if reader.has(method, shard)}

    found = {shard: done(shard, mark) for shard, mark in marks.items()}
    seconds = sum(mark.seconds for mark in marks.values())
    return replace(task, record=record, items=missing(len(images), methods, found), seconds=seconds)
