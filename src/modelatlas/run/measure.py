"""How long a run will take: a few batches of every model that has work left, timed where it will run.

    seconds of a model = start + load + first batch's surplus + images left * seconds an image

The first batch is slower (kernels are chosen, memory is claimed); the rate is that of the batches after it.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modelatlas.errors import ModelError
from modelatlas.probe import Probe
from modelatlas.run.arithmetic import choose_device
from modelatlas.run.chart_maps import EngineMaker
from modelatlas.run.engines import ApartEngine
from modelatlas.run.events import Event, Progress, silent
from modelatlas.run.memory import automatic_batch
from modelatlas.run.preparation import asked_models, existing_document, resolved_settings
from modelatlas.run.settings import Settings
from modelatlas.run.task import ModelTask, planned
from modelatlas.store import SHARD
from modelatlas.zoo import ModelCard, Zoo

__all__ = ["BATCHES", "Measured", "measure_models", "peak_memory"]

BATCHES = 3


@dataclass(frozen=True)
class Measured:
    """What a few batches of a model took.

    Attributes
    ----------
    model
        Its name.
    left
        Images of the run that its maps are missing on.
    images
        Measured; 0 where nothing is left, or where it failed.
    fixed
        Seconds that it takes whatever the number of images.
    rate
        Seconds an image.
    reason
        Why it will be left out; None where it runs.
    """

    model: str
    left: int
    images: int = 0
    fixed: float = 0.0
    rate: float = 0.0
    reason: str | None = None

    @property
    def seconds(self) -> float:
        """Of all its images that are left."""
        return self.fixed + self.left * self.rate


def measure_models(
    zoo: Zoo,
    probe: Probe,
    out: Path,
    scratch: Path,
    settings: Settings,
    *,
    exclude: Sequence[str] = (),
    layer: str | None = None,
    trust_code: bool = False,
    engine: EngineMaker = ApartEngine,
    progress: Progress = silent,
) -> list[Measured]:
    """Chart a few batches of every model into `scratch`; the atlas in `out`, if there is one, is only read.

    Raises
    ------
    InputError
        As `chart_maps`.
    """
    cards = asked_models(zoo, exclude=exclude, layer=layer, trust_code=trust_code)
    settings = resolved_settings(settings, existing_document(out))
    checksums = [image.sha256 for image in probe.images]
    found = []
    plan = []
    for entry, known in cards.items():
        whole = ModelTask(entry.name, entry.spec, settings, len(probe), trust_code=trust_code)
        left = planned(out, whole, checksums).missing
        plan.append((entry, whole, left, min(left, _few(known, settings))))
    progress(Event("planned", total=sum(few for *_, few in plan), detail="measuring"))
    with engine(scratch, probe) as workers:
        for entry, whole, left, few in plan:
            if not few:
                found.append(Measured(entry.name, 0))
                continue
            task = planned(scratch, replace(whole, images=few), checksums[:few])
            watch = _Watch(progress)
            try:
                workers.chart(task, watch.show)
            except ModelError as error:
                found.append(Measured(entry.name, left, reason=error.reason))
            else:
                found.append(watch.measured(entry.name, left))
    return found


def peak_memory() -> int:
    """Bytes that this process and the largest of its ended children had at most."""
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return unit * sum(resource.getrusage(kind).ru_maxrss for kind in kinds)


def _few(known: ModelCard, settings: Settings) -> int:
    size = known.input
    batch = settings.batch or automatic_batch(size.height, size.width, choose_device(settings.device))
    return min(BATCHES * batch, max(SHARD, 2 * batch))


class _Watch:
    """Notes when a model's events come."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._began = time.perf_counter()
        self._batches: list[tuple[int, float]] = []

    def show(self, event: Event) -> None:
        """Note the event's time and pass it on."""
        now = time.perf_counter()
        if event.kind == "started":
            self._batches = [(event.done, now)]
        elif event.kind == "images":
            self._batches.append((event.done, now))
        self._progress(event)

    def measured(self, model: str, left: int) -> Measured:
        """Put together what was noted, now that all is written."""
        ended = time.perf_counter()
        start, first, last = self._batches[0], self._batches[1], self._batches[-1]
        after = last[0] - first[0]
        rate = (last[1] - first[1]) / after if after else (first[1] - start[1]) / first[0]
        surplus = max(0.0, first[1] - start[1] - rate * (first[0] - start[0]))
        written = (ended - last[1]) / last[0]
        return Measured(
            model,
            left,
            images=last[0],
            fixed=start[1] - self._began + surplus,
            rate=rate + written,
        )
