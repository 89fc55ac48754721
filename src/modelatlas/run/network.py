"""A loaded network, ready to be attributed: on its device, in its precision, with its target layer."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from modelatlas.attribution import Folding, attribute, map_vectors, target_layer
from modelatlas.errors import (
    ConflictError,
    LockedError,
    ModelAtlasError,
    ModelError,
    ProbeError,
    StoreError,
    in_words,
    one_line,
)
from modelatlas.probe import Probe
from modelatlas.run.arithmetic import choose_device, seeded
from modelatlas.run.memory import automatic_batch, is_out_of_memory
from modelatlas.run.precision import AGREEMENT, CHECKED, agreement, has_bfloat16, memory_format, multiplying
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
    except (Exception, SystemExit) as error:
        ours = isinstance(error, ModelAtlasError)
        named = one_line(str(error)).removeprefix(f"{model}: ") if ours else in_words(error)
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
    memory_format
        Of its weights and images.
    folding
        Its convolutions with their BatchNorms folded in, which its maps are computed with.
    precision
        float32, float64 or bf16.
    precision_check
        Mean cosine, by method, of its first maps in bfloat16 and in float32; None where nothing was chosen.
    """

    loaded: LoadedModel
    device: torch.device
    layer: str
    reason: str
    layer_shape: tuple[int, ...]
    memory_format: torch.memory_format
    folding: Folding
    precision: str
    precision_check: Mapping[str, float] | None = None

    @classmethod
    def of(cls, task: ModelTask, probe: Probe) -> "Network":
        """Load the model of a task; its layer is asked for, stated by its card, or else chosen."""
        loaded = load(task.spec, trust_code=task.trust_code)
        device, asked = choose_device(task.settings.device), task.settings.precision
        loaded.module.to(device=device, dtype=_weights_type(asked))
        first = _tensor(
            loaded.preprocess.tensor(probe.square(0))[None], asked, device, torch.contiguous_format
        )
        order = memory_format(loaded.module, first)
        if loaded.layer is None:
            chosen = target_layer(loaded.module, first)
            layer, reason, shape = chosen.name, chosen.reason, chosen.shape
        else:
            layer, shape = loaded.layer, loaded.card.layer_shape or ()
            reason = "asked for" if task.spec.layer == layer else "stated by the model's card"
        folding = Folding.of(loaded.module, first.to(memory_format=order), layer)
        precision = "float32" if asked == "auto" else asked
        network = cls(loaded, device, layer, reason, shape, order, folding, precision)
        if asked != "auto":
            return network
        if task.record is not None:  # what it began with
            before = task.record["precision"], task.record["precision_check"]
            return replace(network, precision=before[0], precision_check=before[1])
        return network._checked(task, probe)

    def _checked(self, task: ModelTask, probe: Probe) -> "Network":
        """Take bfloat16 where the device has it and the maps of the first images hardly change."""
        if not has_bfloat16(self.device):
            return self
        squares = [probe.square(place) for place in range(min(CHECKED, task.images))]
        inputs = [self.loaded.preprocess.tensor(square)[None] for square in squares]
        trial = replace(self, precision="bf16")
        ours, exact = (
            [network._vectors(one, task, task.settings.methods) for one in inputs]  # one fits into any memory
            for network in (trial, self)
        )
        check = {
            method: agreement(*(torch.cat([one[method][0] for one in found]) for found in (ours, exact)))
            for method in task.settings.methods
        }
        chosen = trial if min(check.values()) >= AGREEMENT else self
        return replace(chosen, precision_check=check)

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
            "precision": self.precision,
            "precision_check": None if self.precision_check is None else dict(self.precision_check),
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
    ) -> Callable[[], Maps]:
        """Compute unit maps of some images; a call of what is returned waits for them and gives arrays."""
        vectors = self._vectors(inputs, task, methods)
        if self.device.type != "cuda":
            found = {
                method: (maps.cpu().numpy(), norms.cpu().numpy()) for method, (maps, norms) in vectors.items()
            }
            return lambda: found
        on_host = {method: tuple(map(_to_host, tensors)) for method, tensors in vectors.items()}
        copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        copied.record(torch.cuda.current_stream(self.device))

        def wait() -> Maps:
            copied.synchronize()
            return {method: (maps.numpy(), norms.numpy()) for method, (maps, norms) in on_host.items()}

        return wait

    def _vectors(
        self,
        inputs: Float32[np.ndarray, "image channel height width"],
        task: ModelTask,
        methods: Sequence[str],
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Compute unit maps and norms, on the device."""
        images = _tensor(inputs, self.precision, self.device, self.memory_format)
        with seeded(self.device), multiplying(self.device, self.precision), self.folding.applied():
            found = attribute(
                self.loaded.module,
                images,
                methods=methods,  # type: ignore[arg-type]
                layer=self.layer,
                epsilon=task.settings.epsilon,
            )
        return {method: map_vectors(found.pop(method), grid=task.settings.grid) for method in methods}  # type: ignore[call-overload]


def _weights_type(precision: str) -> torch.dtype:
    """Give the data type of weights, images and maps."""
    return torch.float64 if precision == "float64" else torch.float32


def _tensor(
    inputs: Float32[np.ndarray, "*shape"], precision: str, device: torch.device, order: torch.memory_format
) -> Tensor:
    """Images on the device; on CUDA by way of pinned memory, so that nobody waits for the copy."""
    images = torch.from_numpy(inputs)
    if device.type == "cuda":
        images = images.pin_memory().to(device, non_blocking=True)
    return images.to(device=device, dtype=_weights_type(precision)).to(memory_format=order)


def _to_host(tensor: Tensor) -> Tensor:
    """Begin to copy a tensor into pinned memory."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
