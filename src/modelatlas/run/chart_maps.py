"""The run: what is asked for, minus what is there, charted and compared; resumable at any moment.

Everything is checked before anything is written (status 2). Then each model in turn: what is missing of it
goes to the engine; a model that fails is left out, and tried again by the next run. At the end affinity,
intervals and tree are made of the stored maps, so that a run which was killed and resumed ends with the
same bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from modelatlas.errors import ConflictError, ModelError
from modelatlas.probe import Probe
from modelatlas.run.conflicts import check_record, check_settings
from modelatlas.run.document import atlas_document, charted_model, excluded_model
from modelatlas.run.engines import ApartEngine, Engine
from modelatlas.run.events import Event, Progress, silent
from modelatlas.run.origin import weights_origin
from modelatlas.run.preparation import asked_models, existing_document, resolved_settings
from modelatlas.run.results import alive_maps, too_dead, write_results
from modelatlas.run.settings import Settings
from modelatlas.run.task import ModelTask, planned
from modelatlas.store import (
    Journal,
    Layout,
    read_thumbnails,
    sweep,
    write_document,
    write_json,
    write_thumbnails,
    writer_lock,
)
from modelatlas.zoo import Zoo

__all__ = ["EngineMaker", "RunResult", "chart_maps"]

EngineMaker = Callable[[Path, Probe], Engine]
_THUMBNAILS: Final = 64
_THUMBNAIL_SIDE: Final = 128


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes
    ----------
    charted
        Names of the models in the matrices, in the zoo's order.
    excluded
        Name -> reason of those that were left out.
    left_out
        Number of the probe's files that were not used.
    """

    charted: tuple[str, ...]
    excluded: Mapping[str, str]
    left_out: int


def chart_maps(
    zoo: Zoo,
    probe: Probe,
    out: Path,
    settings: Settings,
    *,
    exclude: Sequence[str] = (),
    layer: str | None = None,
    trust_code: bool = False,
    engine: EngineMaker = ApartEngine,
    progress: Progress = silent,
) -> RunResult:
    """Chart the models of a zoo on a probe into the atlas folder `out`: what is missing of it, and the results.

    Parameters
    ----------
    zoo
        Models in the order of the matrices.
    probe
        As many images as are asked for.
    out
        Made, or gone on in.
    settings
        What holds for all models.
    exclude
        Names of models to leave alone.
    layer
        Target layer, of a single model.
    trust_code
        Whether models that bring code may run.
    engine
        What carries out the work.
    progress
        Told of what happens.

    Raises
    ------
    InputError
        Wrong input, a conflict with what is stored, or another writer (status 2); nothing was run or written.
    StoreError, ProbeError
        The folder cannot be written or is damaged; an image has gone. What was finished is kept.
    """
    cards = asked_models(zoo, exclude=exclude, layer=layer, trust_code=trust_code)
    document = existing_document(out)
    settings = resolved_settings(settings, document)
    with writer_lock(out), engine(out, probe) as workers:
        document = existing_document(out)  # again: the last writer may have changed it
        if document is not None:
            check_settings(document, settings, probe)
        checksums = [image.sha256 for image in probe.images]
        tasks = [
            planned(
                out,
                ModelTask(
                    entry.name,
                    entry.spec,
                    settings,
                    images=len(checksums),
                    origin=weights_origin(known, entry.spec),
                    trust_code=trust_code,
                ),
                checksums,
            )
            for entry, known in cards.items()
        ]
        for task in tasks:
            check_record(task)
        _check_weights(tasks, workers)
        sweep(out)
        if document is None:
            write_document(out, atlas_document(settings, probe, {}, zoo=zoo.name, finished=False))
        _keep_pictures(out, probe)
        excluded = _chart(tasks, workers, progress)
        names = [task.name for task in tasks if task.name not in excluded]
        alive = alive_maps(out, names, settings.methods, len(checksums)) if names else {}
        excluded |= too_dead(names, alive)
        rows = [place for place, name in enumerate(names) if name not in excluded]
        charted = [names[place] for place in rows]
        for method, living in alive.items() if charted else ():
            progress(Event("comparing", detail=method))
            write_results(out, charted, method, living[rows], linkage=settings.linkage)
        models = {}
        for entry, known in cards.items():
            if entry.name in excluded:
                models[entry.name] = excluded_model(entry, known, excluded[entry.name])
            else:
                journal = Journal.of(out, entry.name)
                record = journal.record()
                assert record is not None
                seconds = sum(mark.seconds for mark in journal.marks().values())
                models[entry.name] = charted_model(
                    entry, known, record, names.index(entry.name), alive, seconds
                )
        write_document(out, atlas_document(settings, probe, models, zoo=zoo.name, finished=True))
    return RunResult(tuple(charted), excluded, len(probe.left_out))


def _check_weights(tasks: Sequence[ModelTask], engine: Engine) -> None:
    """Load the stored models whose weights may have changed since; `ConflictError` if they have.

    One that cannot be loaded at the moment is no conflict: its maps are there, or it will be left out.
    """
    for task in tasks:
        if task.record is None or (task.origin is not None and task.origin == task.record["origin"]):
            continue
        try:
            found = engine.identify(task)
        except ModelError:
            continue
        stored = task.record["identity"]["weights"]
        if found != stored:
            raise ConflictError(f"weights of {task.name}", stored[:12], found[:12])


def _chart(tasks: Sequence[ModelTask], engine: Engine, progress: Progress) -> dict[str, str]:
    """Chart what is missing, model by model; name -> reason of those that failed."""
    total = sum(task.images for task in tasks)
    progress(Event("planned", done=total - sum(task.missing for task in tasks), total=total))
    excluded: dict[str, str] = {}
    for task in tasks:
        if not task.items:
            continue
        try:
            engine.chart(task, progress)
        except ModelError as error:
            excluded[task.name] = error.reason
            progress(Event("excluded", task.name, detail=error.reason))
        else:
            progress(Event("finished", task.name, done=task.images, total=task.images))
    return excluded


def _keep_pictures(out: Path, probe: Probe) -> None:
    """Store the probe's manifest, and small pictures of its first images where they are not there yet."""
    write_json(Layout(out).manifest, probe.manifest())
    stored = read_thumbnails(out)
    wanted = [image.id for image in probe.images[:_THUMBNAILS]]
    if not set(wanted) <= set(stored):
        write_thumbnails(out, {name: _thumbnail(probe.square(place)) for place, name in enumerate(wanted)})


def _thumbnail(square: UInt8[np.ndarray, "side side 3"]) -> UInt8[np.ndarray, "small small 3"]:
    size = (_THUMBNAIL_SIDE, _THUMBNAIL_SIDE)
    return np.asarray(Image.fromarray(square).resize(size, Image.Resampling.BILINEAR))
