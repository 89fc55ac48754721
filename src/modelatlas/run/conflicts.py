"""What may not change while an atlas grows: settings, probe, each model's spec, weights, layer, input."""

from collections.abc import Mapping
from typing import Any

from modelatlas.errors import ConflictError
from modelatlas.probe import Probe
from modelatlas.run.settings import Settings
from modelatlas.run.task import ModelTask

__all__ = ["check_identity", "check_record", "check_settings"]

_DIGITS = 12


def check_settings(document: Mapping[str, Any], settings: Settings, probe: Probe) -> None:
    """Compare an atlas with what is asked for now.

    Raises
    ------
    ConflictError
        Another grid, epsilon, seed, precision, or other content of the probe.
    """
    for name, asked in settings.fixed().items():
        stored = document["settings"][name]
        if stored != asked:
            raise ConflictError(name, stored, asked)
    stored = document["probe"]
    if stored["digest"] != probe.digest:
        raise ConflictError(
            "content of the probe",
            f"{stored['name']} ({stored['digest'][:_DIGITS]}, {stored['pool']} files)",
            f"{probe.name} ({probe.digest[:_DIGITS]}, {probe.pool} files)",
        )


def check_record(task: ModelTask) -> None:
    """Compare a model's record with what is asked for now, as far as that is known without loading it.

    Raises
    ------
    ConflictError
        The name stood for another model, or another layer.
    """
    if task.record is None:
        return
    stored, asked = task.record["spec"], task.spec.text
    if stored != asked:
        raise ConflictError(f"spec of {task.name}", stored, asked)
    layer, chosen = task.record["layer_asked"], task.record["identity"]["layer"]
    if layer != task.spec.layer and task.spec.layer != chosen:
        raise ConflictError(f"target layer of {task.name}", chosen, task.spec.layer or "the default layer")


def check_identity(task: ModelTask, identity: Mapping[str, Any]) -> None:
    """Compare a loaded model with the one that the stored maps are of.

    Raises
    ------
    ConflictError
        Other weights, another layer, other preprocessing.
    """
    for part, asked in identity.items() if task.record is not None else ():
        stored = task.record["identity"][part]  # type: ignore[index]
        if stored != asked:
            shown = [value[:_DIGITS] if part == "weights" else value for value in (stored, asked)]
            raise ConflictError(f"{part} of {task.name}", *shown)
