"""What `atlas.json` says: settings, probe, software, every model with its status, what was left out."""

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from modelatlas.probe import Probe
from modelatlas.run.results import BOOTSTRAP
from modelatlas.run.settings import Settings
from modelatlas.run.task import ModelTask
from modelatlas.zoo import ModelCard, ZooEntry, source_for

__all__ = ["atlas_document", "charted_model", "excluded_model", "software"]

_PACKAGES: Final = ("modelatlas", "torch", "numpy", "scipy", "zarr", "pillow", "timm", "torchvision", "onnx")


def software() -> dict[str, str]:
    """Versions of what can move a number."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def atlas_document(
    settings: Settings, probe: Probe, models: Mapping[str, Mapping[str, Any]], *, zoo: str, finished: bool
) -> dict[str, Any]:
    """Put together `atlas.json`.

    Parameters
    ----------
    settings
        Of the run, with device and threads as they were chosen.
    probe
        As it was opened.
    models
        Name -> what is told of it.
    zoo
        Its name.
    finished
        False: written at the start, so that the next run knows what this one was.
    """
    return {
        "state": "finished" if finished else "running",
        "zoo": zoo,
        "settings": {
            "methods": list(settings.methods),
            "images": len(probe.images),
            **settings.fixed(),
            "similarity": settings.similarity,
            "linkage": settings.linkage,
            "batch": settings.batch or "auto",
            "device": settings.device,
            "threads": settings.threads,
            "bootstrap": BOOTSTRAP,
        },
        "probe": {
            "name": probe.name,
            "source": probe.source,
            "digest": probe.digest,
            "pool": probe.pool,
            "images": [image.id for image in probe.images],
        },
        "software": software(),
        "models": {name: dict(model) for name, model in models.items()},
        "left_out": [{"item": left.item, "reason": left.reason} for left in probe.left_out],
    }


def charted_model(
    entry: ZooEntry, known: ModelCard, task: ModelTask, living: Mapping[str, int]
) -> dict[str, Any]:
    """Tell of a model that is in the matrices, `living` maps of each method alive."""
    assert task.record is not None
    record, identity = task.record, task.record["identity"]
    return {
        **_model(entry, known),
        "status": "charted",
        "trained": record["trained"],
        "parameters": record["parameters"],
        "layer": identity["layer"],
        "layer_reason": record["layer_reason"],
        "layer_shape": record["layer_shape"],
        "input_size": [identity["preprocess"]["height"], identity["preprocess"]["width"]],
        "input": identity["preprocess"],
        "weights_digest": identity["weights"],
        "live": dict(living),
        "batch": record["batch"],
        "device": record["device"],
        "precision": record.get("precision", task.settings.precision),  # not in records of older versions
        "precision_check": record.get("precision_check"),
        "seconds": round(task.seconds, 3),
    }


def excluded_model(entry: ZooEntry, known: ModelCard, reason: str) -> dict[str, Any]:
    """Tell of a model that was left out."""
    return {**_model(entry, known), "status": "excluded", "reason": reason, "trained": known.trained}


def _model(entry: ZooEntry, known: ModelCard) -> dict[str, Any]:
    return {
        "spec": entry.spec.text,
        "runs_code": source_for(entry.spec).runs_user_code,
        "task": entry.tags.get("task", known.task),
        "group": entry.tags.get("group", known.group),
        "tags": {key: value for key, value in entry.tags.items() if key not in ("task", "group")},
        "licence": known.licence,
        "citation": known.citation,
        "pretrained_encoder": known.pretrained_encoder,
    }
