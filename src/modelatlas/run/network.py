"""A loaded network, ready to be attributed: on its device, in its precision, with its target layer."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from modelatlas.attribution import attribute, map_vectors, target_layer
from modelatlas.errors import ConflictError, LockedError, ModelAtlasError, ModelError, ProbeError, StoreError
from modelatlas.probe import Probe
from modelatlas.run.arithmetic import choose_device
from modelatlas.run.memory import automatic_batch, is_out_of_memory
from modelatlas.run.task import ModelTask
from modelatlas.zoo import LoadedModel, load

__all__ = ["FATAL", "Maps", "Network", "blamed_on"]

FATAL = (StoreError, ProbeError, ConflictError, LockedError)
"""Errors that end a run; all others leave out the model in hand."""

Maps = dict[str, tuple[Float32[np.ndarray, "_image row column"], Float32[np.ndarray, " _image"]]]
"""Method -> unit maps, and their norms before; passes differ in their number of images."""


@contextmanager
def blamed_on(model: str) -> Iterator[None]:
    """Turn what a model, or the library that loads it, raises into a `ModelError`."""
    try:
        yield
    except (*FATAL, ModelError):
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:500].removeprefix(f"{model}: ")
        named = (
            text
            if isinstance(error, ModelAtlasError)
            else f"{type(error).__name__}: {text}".removesuffix(": ")
        )
        if is_out_of_memory(error):
            named = f"out of memory, also with the smallest batch ({named})"
        raise ModelError(model, named) from error


@dataclass(frozen=True, eq=False)
class Network:
    """A model that can be attributed.

    Attributes
    ----------
    loaded
        Module, card, preprocessing.
    device
        Where it computes.
    layer, reason
        Target layer, and why it is that one.
    layer_shape
        Of its output, without the batch axis.
    """

    loaded: LoadedModel
    device: torch.device
    layer: str
    reason: str
    layer_shape: tuple[int, ...]

    @classmethod
    def of(cls, task: ModelTask, probe: Probe) -> "Network":
        """Load the model of a task; its layer is asked for, stated by its card, or else chosen."""
        loaded = load(task.spec, trust_code=task.trust_code)
        device = choose_device(task.settings.device)
        loaded.module.to(device=device, dtype=getattr(torch, task.settings.precision))
        first = _tensor(loaded.preprocess.tensor(probe.square(0))[None], task, device)
        if loaded.layer is None:
            chosen = target_layer(loaded.module, first)
            return cls(loaded, device, chosen.name, chosen.reason, chosen.shape)
        asked = task.spec.layer == loaded.layer
        reason = "asked for" if asked else "stated by the model's card"
        return cls(loaded, device, loaded.layer, reason, loaded.card.layer_shape or ())

    @property
    def identity(self) -> dict[str, Any]:
        """What fixes the numbers of its maps, in plain values as JSON gives them back."""
        parts = {
            "weights": self.loaded.weights_digest,
            "layer": self.layer,
            "preprocess": self.loaded.preprocess.as_dict(),
        }
        return dict(json.loads(json.dumps(parts)))

    def record(self, task: ModelTask) -> dict[str, Any]:
        """Tell what is kept of it: its identity, how it runs, and what people want to know."""
        card, before = self.loaded.card, task.record or {}
        size = self.loaded.preprocess
        batch = task.batch or before.get("batch") or task.settings.batch
        return {
            "model": task.name,
            "spec": task.spec.text,
            "identity": self.identity,
            "origin": task.origin,
            "layer_asked": before.get("layer_asked", task.spec.layer),
            "layer_reason": self.reason,
            "layer_shape": list(self.layer_shape),
            "batch": batch or automatic_batch(size.height, size.width, self.device),
            "device": _device_name(self.device),
            "trained": card.trained,
            "parameters": card.parameters,
            "task": card.task,
            "group": card.group,
            "licence": card.licence,
            "citation": card.citation,
        }

    def maps(
        self,
        inputs: Float32[np.ndarray, "image channel height width"],
        task: ModelTask,
        methods: Sequence[str],
    ) -> Maps:
        """Compute unit maps of some images; they come back as arrays."""
        found = attribute(
            self.loaded.module,
            _tensor(inputs, task, self.device),
            methods=methods,  # type: ignore[arg-type]
            layer=self.layer,
            epsilon=task.settings.epsilon,
        )
        vectors = {method: map_vectors(found.pop(method), grid=task.settings.grid) for method in methods}  # type: ignore[call-overload]
        return {
            method: (maps.cpu().numpy(), norms.cpu().numpy()) for method, (maps, norms) in vectors.items()
        }


def _tensor(inputs: Float32[np.ndarray, "*shape"], task: ModelTask, device: torch.device) -> Tensor:
    return torch.from_numpy(inputs).to(device=device, dtype=getattr(torch, task.settings.precision))


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
