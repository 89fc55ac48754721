"""Charting one model: load it, attribute the images that are missing, write their maps, mark them as done."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import chdir, closing
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float32

from modelatlas.probe import Probe, batches
from modelatlas.run.arithmetic import pinned
from modelatlas.run.conflicts import check_identity
from modelatlas.run.events import Event, Progress
from modelatlas.run.memory import is_out_of_memory, release_memory
from modelatlas.run.network import Maps, Network, blamed_on
from modelatlas.run.plan import WorkItem
from modelatlas.run.task import ModelTask, map_fingerprint
from modelatlas.store import SHARD, Journal, MapWriter, Mark
from modelatlas.zoo import load

__all__ = ["chart_model", "identify"]

T = TypeVar("T")
Transform = Callable[[np.ndarray], np.ndarray]


def identify(task: ModelTask) -> str:
    """Load a model and give the digest of its weights.

    Raises
    ------
    ModelError
        It cannot be loaded.
    """
    with blamed_on(task.name):
        return load(task.spec, trust_code=task.trust_code).weights_digest


def chart_model(task: ModelTask, probe: Probe, root: Path, progress: Progress) -> None:
    """Chart what is missing of one model; what is finished survives whatever happens.

    Parameters
    ----------
    task
        The model, and what of it is missing.
    probe
        At least `task.images` images.
    root
        The atlas folder; the caller holds its worker lock.
    progress
        Told of the load, the start, every pass, and of a batch that was halved.

    Raises
    ------
    ModelError
        The model cannot be loaded or run; names the reason.
    StoreError, ProbeError, ConflictError
        The atlas cannot be written, an image has gone, weights or layer are not those of the stored maps.
    """
    try:
        with blamed_on(task.name), pinned(task.settings.threads), chdir(Path.cwd()):  # back afterwards
            _Charting(task, probe, root, progress).run()
    finally:
        release_memory()  # before the next model comes


class _Charting:
    """One model under way."""

    def __init__(self, task: ModelTask, probe: Probe, root: Path, progress: Progress) -> None:
        self._clock = time.perf_counter()
        progress(Event("loading", task.name))
        self._task, self._probe, self._progress = task, probe, progress
        self._network = Network.of(task, probe)
        check_identity(task, self._network.identity)
        self._record = self._network.record(task)
        self._journal = Journal(root, task.key)
        self._journal.write_record(self._record)
        self._marks = self._journal.marks()
        settings = task.settings
        self._writer = MapWriter(
            root, task.key, name=task.name, methods=settings.methods, images=task.images, grid=settings.grid
        )
        self._left = list(task.items)
        self._tell(
            "started",
            done=task.images - task.missing,
            batch=self._record["batch"],
            detail=self._network.layer,
        )

    def run(self) -> None:
        """Chart all items; a batch that does not fit into memory is halved, down to one image."""
        while self._left:
            try:
                self._run_by(self._record["batch"])
            except Exception as error:
                if not is_out_of_memory(error) or self._record["batch"] == 1:
                    raise
            else:
                break
            self._halve()  # out here, where the error no longer holds on to tensors

    def _halve(self) -> None:
        release_memory()
        self._record["batch"] //= 2
        self._journal.write_record(self._record)
        self._tell("halved", batch=self._record["batch"])

    def _run_by(self, batch: int) -> None:
        computed = self._computed(batch)
        # A GPU computes the next maps while those before are written.
        for item, parts in one_ahead(computed) if self._network.device.type == "cuda" else computed:
            self._write(item, [wait() for wait in parts])
            self._left.pop(0)

    def _computed(self, batch: int) -> Iterator[tuple[WorkItem, list[Callable[[], Maps]]]]:
        items = list(self._left)
        indices = list(chain.from_iterable(range(item.start, item.stop) for item in items))
        transform = self._network.loaded.preprocess.tensor
        done = self._task.images - len(indices)
        with closing(_inputs(self._probe, transform, batch, indices)) as inputs:
            for item in items:
                parts = []
                for start in range(item.start, item.stop, batch):
                    images = np.stack(list(islice(inputs, min(batch, item.stop - start))))
                    parts.append(self._network.maps(images, self._task, item.methods))
                    done += len(images)
                    self._tell("images", done=done)
                yield item, parts

    def _write(self, item: WorkItem, parts: list[Maps]) -> None:
        """Write the maps of an item, then, when they are in place, its mark."""
        for method in item.methods:
            maps, norms = (np.concatenate([part[method][k] for part in parts]) for k in (0, 1))
            self._writer.write(method, item.start, maps, norms)
        shard = item.start // SHARD
        first, now = shard * SHARD, time.perf_counter()
        identity, settings = self._record["identity"], self._task.settings
        self._marks[shard] = self._marks.get(shard, Mark()).extended(
            images=[image.sha256 for image in self._probe.images[first : first + SHARD]],
            count=item.stop - first,
            fingerprints={method: map_fingerprint(identity, settings, method) for method in item.methods},
            seconds=now - self._clock,
        )
        self._clock = now
        self._journal.write_mark(shard, self._marks[shard])

    def _tell(self, kind: Any, **parts: Any) -> None:
        self._progress(Event(kind, self._task.name, total=self._task.images, **parts))


def _inputs(
    probe: Probe, transform: Transform, batch: int, indices: Sequence[int]
) -> Generator[Float32[np.ndarray, "channel height width"], None, None]:
    """Network inputs one by one, decoded ahead; work items cut them into passes of their own."""
    for part in batches(probe, transform, batch=batch, indices=indices):
        yield from part.inputs


def one_ahead(values: Iterable[T]) -> Iterator[T]:
    """Yield each value when the next one is there, the last one at the end."""
    waiting: list[T] = []
    for value in values:
        yield from waiting
        waiting = [value]
    yield from waiting
