"""The run: what is asked for, minus what is there, charted and compared; resumable at any moment.

Everything is checked before anything is written (status 2). Then each model in turn: what is missing of it
goes to the engine; a model that fails is left out, and tried again by the next run. At the end affinity,
intervals and tree are made of the stored maps, so that a run which was killed and resumed ends with the
same bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from traceback import format_exception
from typing import Any

from modelatlas._ids import fingerprint
from modelatlas.errors import ConflictError, ModelError
from modelatlas.probe import Probe
from modelatlas.run.conflicts import check_record, check_settings
from modelatlas.run.document import atlas_document, charted_model, excluded_model
from modelatlas.run.engines import ApartEngine, Engine
from modelatlas.run.events import Event, Progress, silent
from modelatlas.run.origin import weights_origin
from modelatlas.run.pictures import keep_pictures
from modelatlas.run.preparation import asked_models, existing_document, resolved_settings
from modelatlas.run.results import BOOTSTRAP, Alive, alive_maps, remove_results, too_dead, write_results
from modelatlas.run.settings import Settings
from modelatlas.run.stopping import check_width, stages, stop_document, widest_interval
from modelatlas.run.task import ModelTask, planned
from modelatlas.store import Journal, sweep, write_document, writer_lock
from modelatlas.zoo import ModelCard, Zoo, ZooEntry

__all__ = ["EngineMaker", "RunResult", "chart_maps"]

EngineMaker = Callable[[Path, Probe], Engine]


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
    until: float | None = None,
    engine: EngineMaker = ApartEngine,
    progress: Progress = silent,
) -> RunResult:
    """Chart the models of a zoo on a probe into the atlas folder `out`: what is missing, and the results.

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
    until
        Stop at the first stage (see `stopping`) where half the width of every affinity's 95 % interval is at
        most this; None: use the whole probe.
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
    if until is not None:
        check_width(until)
    with ExitStack() as held:
        workers = held.enter_context(engine(out, probe))
        cards = asked_models(zoo, exclude=exclude, layer=layer, trust_code=trust_code)
        settings = resolved_settings(settings, existing_document(out))
        held.enter_context(writer_lock(out))
        document = existing_document(out)  # again: the last writer may have changed it
        if document is not None:
            check_settings(document, settings, probe)
        failed: dict[str, str] = {}
        for count in stages(len(probe)) if until is not None else [len(probe)]:
            part = probe.take(count)
            run = _Run(out, part, settings, workers, progress, document or {}, failed)
            document, result = run.whole(zoo.name, cards, trust_code=trust_code)
            if until is not None:
                widest = widest_interval(out, settings.methods, result.charted)
                stop = stop_document(until, widest, images=count, available=len(probe))
                document = document | {"settings": document["settings"] | {"until": stop}}
                write_document(out, document)
                if stop["reached"]:
                    break
    return result


@dataclass(frozen=True)
class _Run:
    """What stays the same from the beginning of a run to its end."""

    out: Path
    probe: Probe
    settings: Settings
    engine: Engine
    progress: Progress
    before: Mapping[str, Any]
    failed: dict[str, str]  # name -> reason; at another stage they are not tried again

    @property
    def checksums(self) -> list[str]:
        """SHA-256 of the images, in order."""
        return [image.sha256 for image in self.probe.images]

    def whole(
        self, zoo: str, cards: Mapping[ZooEntry, ModelCard], *, trust_code: bool
    ) -> tuple[dict[str, Any], RunResult]:
        """Plan, chart, compare and write `atlas.json`; return it, and how the run ended."""
        out, probe, settings = self.out, self.probe, self.settings
        tasks = self.tasks(cards, trust_code=trust_code)
        sweep(out)
        if not self.before:
            write_document(out, atlas_document(settings, probe, {}, zoo=zoo, finished=False))
        keep_pictures(out, probe)
        excluded = self.chart(tasks)
        results = self.compare(tasks, excluded)
        models = {
            entry.name: excluded_model(entry, known, excluded[entry.name])
            if entry.name in excluded
            else charted_model(entry, known, planned(out, task, self.checksums), results.living(entry.name))
            for (entry, known), task in zip(cards.items(), tasks, strict=True)
        }
        content = atlas_document(settings, probe, models, zoo=zoo, finished=True)
        content |= {"results": results.inputs}
        write_document(out, content)
        return content, RunResult(tuple(results.models), excluded, len(probe.left_out))

    def tasks(self, cards: Mapping[ZooEntry, ModelCard], *, trust_code: bool) -> list[ModelTask]:
        """Plan every model; `ConflictError` where one is not what its stored maps are of.

        A model that was left out last time may have changed: it is what its owner was told to repair.
        """
        tasks = []
        for entry, known in cards.items():
            origin = weights_origin(known, entry.spec)
            task = ModelTask(
                entry.name,
                entry.spec,
                self.settings,
                len(self.probe.images),
                origin=origin,
                trust_code=trust_code,
            )
            tasks.append(planned(self.out, task, self.checksums))
        excluded = {
            name for name, model in self.before.get("models", {}).items() if model["status"] == "excluded"
        }
        changed = []
        for task in tasks:
            try:
                check_record(task)
                self._check_weights(task)
            except ConflictError:
                if task.name not in excluded:
                    raise
                changed.append(task)
        for task in changed:
            Journal(self.out, task.key).forget()
        return [planned(self.out, task, self.checksums) if task in changed else task for task in tasks]

    def _check_weights(self, task: ModelTask) -> None:
        """Load a stored model if its weights may have changed since; `ConflictError` if they have."""
        if task.record is None or (task.origin is not None and task.origin == task.record["origin"]):
            return
        try:
            found = self.engine.identify(task)
        except ModelError:
            return  # no conflict: its maps are there, or it is going to be left out for this very reason
        stored = task.record["identity"]["weights"]
        if found != stored:
            raise ConflictError(f"weights of {task.name}", stored[:12], found[:12])

    def chart(self, tasks: Sequence[ModelTask]) -> dict[str, str]:
        """Chart what is missing, model by model; name -> reason of those that failed."""
        total = sum(task.images for task in tasks)
        self.progress(Event("planned", done=total - sum(task.missing for task in tasks), total=total))
        excluded = dict(self.failed)
        for task in tasks:
            if not task.items or task.name in self.failed:
                continue
            try:
                self.engine.chart(task, self.progress)
            except ModelError as error:
                self.failed[task.name] = error.reason
                self._exclude(excluded, task.name, error.reason, "".join(format_exception(error)))
            else:
                seconds = planned(self.out, task, self.checksums).seconds
                self.progress(
                    Event("finished", task.name, done=task.images, total=task.images, seconds=seconds)
                )
        return excluded

    def _exclude(self, excluded: dict[str, str], model: str, reason: str, trace: str = "") -> None:
        excluded[model] = reason
        self.progress(Event("excluded", model, detail=reason, trace=trace))

    def compare(self, tasks: Sequence[ModelTask], excluded: dict[str, str]) -> "_Results":
        """Write the results of all methods; leaves out, and adds to `excluded`, the models that are dead."""
        methods = self.settings.methods
        names = [task.name for task in tasks if task.name not in excluded]
        alive = alive_maps(self.out, names, methods, len(self.checksums))
        for name, reason in too_dead(names, alive).items():
            self._exclude(excluded, name, reason)
        rows = [place for place, name in enumerate(names) if name not in excluded]
        results = _Results(
            [names[place] for place in rows], {method: living[rows] for method, living in alive.items()}
        )
        remove_results(self.out, keep=methods if rows else (), trees=len(rows) > 1)
        similarity = self.settings.similarity
        for method in methods if rows else ():
            parts = [results.models, self.checksums, method, similarity, BOOTSTRAP]
            results.inputs[method] = fingerprint(parts)
        known = self._still_known(results.inputs, unchanged=not any(task.items for task in tasks))
        for method, living in results.alive.items() if rows else ():
            self.progress(Event("comparing", detail=method))
            write_results(
                self.out,
                results.models,
                method,
                living,
                similarity=similarity,
                linkage=self.settings.linkage,
                known=method in known,
            )
        return results

    def _still_known(self, inputs: Mapping[str, str], *, unchanged: bool) -> set[str]:
        """Find the methods whose results are there already, and forget the others before they are replaced.

        A run that is killed among the latter must not leave them marked as what they were.
        """
        before = self.before.get("results", {})
        known = {method for method in inputs if unchanged and before.get(method) == inputs[method]}
        if before.keys() - known:
            kept = {method: before[method] for method in known}
            write_document(self.out, {**self.before, "state": "running", "results": kept})
        return known


@dataclass(frozen=True, eq=False)
class _Results:
    """What was compared."""

    models: list[str]
    alive: Alive
    inputs: dict[str, str] = field(default_factory=dict)

    def living(self, model: str) -> dict[str, int]:
        """Count the living maps of a model by method."""
        place = self.models.index(model)
        return {method: int(living[place].sum()) for method, living in self.alive.items()}
