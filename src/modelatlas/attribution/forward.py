"""One forward pass and its graph up to the target layer, with the model left as it was.

The target T is the sum over all units of the layer, taken where the layer returns: later in-place operations
do not reach it. A layer that returns a tuple, list, dict or dataclass stands for the first floating-point
tensor in it that depends on the image and that the model's output depends on, not through another of them
alone (else the first that depends on the image). A layer that runs several times in one pass stands for its
last run. The model always runs to its end, so that what it does after the layer (hooks it removes, modes it
puts back) is done.
"""

import random
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from modelatlas.attribution.batchnorm import guard_batch_norm
from modelatlas.attribution.compiled import refuse_scripted, uncompiled
from modelatlas.attribution.hidden import HiddenPlaces
from modelatlas.attribution.record import Recorder
from modelatlas.attribution.recurrent import WithoutCudnn
from modelatlas.attribution.steps import nodes_behind
from modelatlas.errors import AttributionError

__all__ = ["Tape", "all_tensors", "as_weights", "check_inputs", "first_tensor", "run_to_layer", "undisturbed"]


@dataclass(frozen=True)
class Tape:
    """What a forward pass leaves: the target's units, and the two ends of the graph between image and target.

    Attributes
    ----------
    units
        Output of the target layer, attached to the graph, [N, ...].
    total
        T, the sum of `units`: a scalar.
    leaf
        The images, a leaf of the graph, [N, C, H, W].
    source
        Node of the copy of `leaf` that went into the model.
    calls
        How often the layer ran.
    part
        Which of the tensors that the layer returned and that depend on the image `units` is.
    recorder
        Notes for the modified pass; None if none was asked for.
    """

    units: Tensor
    total: Tensor
    leaf: Tensor
    source: Any
    calls: int
    part: int
    recorder: Recorder | None


def check_inputs(model: nn.Module, images: Tensor) -> None:
    """Refuse what cannot be attributed.

    Raises
    ------
    AttributionError
        TorchScript, a module in training mode or with parameters still to be made, images of a wrong dtype or
        shape.
    """
    if not isinstance(model, nn.Module):
        raise AttributionError(f"the model must be a torch.nn.Module, not a {type(model).__name__}")
    if not isinstance(images, Tensor):
        raise AttributionError(f"images must be a tensor [N, C, H, W], not a {type(images).__name__}")
    if isinstance(model, torch.jit.ScriptModule):
        raise AttributionError("a TorchScript module hides its operations: give the module it was made from")
    if images.dtype not in (torch.float32, torch.float64):
        raise AttributionError(
            f"images must be float32 or float64, not {images.dtype}: scale them, then .float()"
        )
    if images.dim() != 4 or 0 in images.shape:
        raise AttributionError(f"images must be [N, C, H, W] and not empty, not {list(images.shape)}")
    training = next((name for name, module in model.named_modules() if module.training), None)
    if training is not None:
        raise AttributionError(
            f"the model is in training mode ({training or 'the whole model'}): call model.eval() first"
        )
    if any(map(is_lazy, (*model.parameters(), *model.buffers()))):
        raise AttributionError("the model has lazy layers without weights yet: run it on an image first")
    found = {p.dtype for p in model.parameters() if p.is_floating_point()}
    if len(found) == 1 and (own := found.pop()) in (torch.float32, torch.float64) and own != images.dtype:
        raise AttributionError(
            f"images are {images.dtype}, the model's weights {own}: convert one of them "
            f"(images.to({own}), or model.to({images.dtype}))"
        )


def run_to_layer(
    model: nn.Module,
    images: Tensor,
    layer: str,
    *,
    record: bool,
    calls: int | None = None,
    part: int | None = None,
    around: TorchFunctionMode | None = None,
) -> Tape:
    """Run `model` on `images` and keep the graph from them to `layer`.

    Parameters
    ----------
    layer
        Dotted module name.
    record
        Take the notes that the modified pass needs.
    calls
        How often the layer ran for another image: what comes after so many runs needs no graph.
    part
        Which of several tensors that the layer returns; None: found out, from the whole graph.
    around
        Mode that sees the model's calls before the recorder does.

    Raises
    ------
    AttributionError
        The layer never ran, returns no floating-point tensor, or does not depend on the image.
    """
    if record:
        refuse_scripted(model)
    recorder = Recorder() if record else None
    watching = recorder or (WithoutCudnn() if images.is_cuda else nullcontext())
    catch = _Catch(layer, calls, part)
    leaf = images.clone() if images.is_inference() else images.detach()
    leaf = leaf.requires_grad_() if not leaf.requires_grad else leaf
    entry = leaf.clone()  # not a leaf, so that the model may change it in place
    source = entry.grad_fn
    handle = model.get_submodule(layer).register_forward_hook(catch)
    try:
        with torch.enable_grad(), same_draws(images.device), watching, around or nullcontext():
            output = model(as_weights(model, entry))
    finally:
        handle.remove()
    if not catch.runs:
        raise AttributionError(f"layer {layer!r} did not run in the forward pass: choose a layer that does")
    if calls is not None and catch.runs > calls:  # the depth depends on the image, or on the batch
        del output
        return run_to_layer(model, images, layer, record=record, part=part, around=around)
    index = catch.choose(output)
    units, total = catch.found[index]
    if not total.requires_grad:
        raise AttributionError(
            f"layer {layer!r} does not depend on the image by differentiable operations: the model detaches "
            f"it or runs under torch.no_grad() {_where_cut(model, leaf)}; choose a layer before that place, "
            "or give modelatlas.through_no_grad(model)"
        )
    if images.device.type == "cpu":
        guard_batch_norm(total.grad_fn)
    return Tape(units, total, leaf, source, catch.runs, index, recorder)


class _Catch:
    """Forward hook of the target layer."""

    def __init__(self, layer: str, calls: int | None, part: int | None) -> None:
        self.layer, self.calls, self.part = layer, calls, part
        self.thread = threading.get_ident()
        self.runs = 0
        self.found: list[tuple[Tensor, Tensor]] = []

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        if threading.get_ident() != self.thread:  # the same model, attributed elsewhere at the same time
            return
        tensors = list(all_tensors(output))
        attached = [tensor for tensor in tensors if tensor.requires_grad] or tensors[:1]
        if not attached:
            raise AttributionError(
                f"layer {self.layer!r} returns a {type(output).__name__} without a floating-point tensor: "
                "choose another layer"
            )
        self.found = [(units, units.sum()) for units in attached]
        self.runs += 1
        if self.runs == self.calls:
            torch.set_grad_enabled(False)

    def choose(self, output: Any) -> int:
        """Give the place of the first tensor that the model's output depends on by itself, or 0."""
        if self.part is not None:
            return min(self.part, len(self.found) - 1)
        if len(self.found) == 1:
            return 0
        nodes = [units.grad_fn for units, _ in self.found]
        ends = [tensor.grad_fn for tensor in all_tensors(output) if tensor.grad_fn is not None]
        reached = nodes_behind(ends, stop=nodes)  # by another way than through the other ones
        return next((place for place, node in enumerate(nodes) if node in reached), 0)


def _where_cut(model: nn.Module, leaf: Tensor) -> str:
    """Where a forward pass loses the image: inside the first module that takes it and returns without it."""
    seen: list[str] = []
    names = {module: name or "the model itself" for name, module in model.named_modules()}

    def note(module: nn.Module, args: Any, output: Any) -> None:
        if first_tensor(output) is not None and first_tensor(output, attached=True) is None:
            taken = first_tensor(args, attached=True) is not None
            seen.append(f"{'inside' if taken else 'before'} {names[module]!r}")

    handles = [module.register_forward_hook(note) for module in names]
    places = HiddenPlaces()
    try:
        with places:
            model(as_weights(model, leaf.clone()))
    finally:
        for handle in handles:
            handle.remove()
    return (seen[0] if seen else "at its end") + (f" ({places})" if places.lines else "")


def as_weights(model: nn.Module, images: Tensor) -> Tensor:
    """Images in the model's own precision, where all its weights are of one lower than theirs."""
    found = {p.dtype for p in model.parameters() if p.is_floating_point()}
    if len(found) == 1 and (low := found.pop()) in (torch.bfloat16, torch.float16):
        return images.to(low)
    return images


def first_tensor(output: Any, *, attached: bool = False) -> Tensor | None:
    """First floating-point tensor in nested tuples, lists, dicts and dataclasses, in their order.

    `attached`: only one that depends on the image.
    """
    return next((t for t in all_tensors(output) if t.requires_grad or not attached), None)


def all_tensors(output: Any) -> Iterator[Tensor]:
    """Floating-point tensors in nested tuples, lists, dicts and dataclasses, in their order."""
    if isinstance(output, Tensor):
        parts: Iterable[Any] = ()
        if output.is_floating_point():
            yield output
    elif isinstance(output, Mapping):
        parts = output.values()
    elif isinstance(output, (tuple, list)):
        parts = output
    elif is_dataclass(output) and not isinstance(output, type):
        parts = [getattr(output, field.name) for field in fields(output)]
    else:
        parts = ()
    for part in parts:
        yield from all_tensors(part)


_IN_PLACE = "the model changes in place what its backward pass needs: write that operation out of place"
_EXPLAINED = {  # what torch says of a model: what to do about it
    "Inference tensors cannot": "the model runs a part of its forward pass under torch.inference_mode(), "
    "which hides it from gradients: write torch.no_grad() there and give modelatlas.through_no_grad(model)",
    "checkpoint is incompatible": "the model recomputes parts of its forward pass: turn its gradient "
    "checkpointing off, or call checkpoint() with use_reentrant=False",
    "modified by an inplace operation": _IN_PLACE,
    "is being modified inplace": _IN_PLACE,
}
_frozen: dict[int, tuple[Tensor, int]] = {}
_frozen_lock = threading.Lock()


@contextmanager
def undisturbed(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Parameters frozen, gradients on; all as it was afterwards, also after an error.

    That is parameters, buffers and random state.

    Frozen parameters save the memory of what only their gradients need. Threads that attribute the same
    model, or models with parts in common, share the freezing: the last one to leave thaws.
    """
    held: list[Tensor] = []
    try:
        _freeze([p for p in (*model.parameters(), *model.buffers()) if p.is_leaf], held)
        with (
            _buffers_kept(model),
            same_draws(device),
            torch.inference_mode(False),
            torch.enable_grad(),
            uncompiled(),
        ):
            yield
    except RuntimeError as error:
        why = next((why for words, why in _EXPLAINED.items() if words in str(error)), None)
        if why is None:
            raise
        raise AttributionError(f"{why} ({error})") from error
    finally:
        _thaw(held)


@contextmanager
def same_draws(device: torch.device) -> Iterator[None]:
    """Random state kept: of torch on the CPU and on `device`, of Python and of numpy."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the caller's state, kept
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


@contextmanager
def _buffers_kept(model: nn.Module) -> Iterator[None]:
    """Buffers that the forward pass changes, in place or for others, are put back as they were."""
    before = [
        (module, name, buffer, 0 if buffer.is_inference() else buffer._version, buffer.detach().clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    try:
        yield
    finally:
        for module, name, buffer, version, value in before:
            if module._buffers.get(name) is not buffer:
                module._buffers[name] = buffer
            if not buffer.is_inference() and buffer._version != version:
                with torch.no_grad():
                    (buffer.detach_() if buffer.grad_fn is not None else buffer).copy_(value)


def _freeze(tensors: list[Tensor], held: list[Tensor]) -> None:
    with _frozen_lock:
        for tensor in tensors:
            _, holders = _frozen.get(id(tensor), (tensor, 0))
            if holders or tensor.requires_grad:
                _frozen[id(tensor)] = (tensor, holders + 1)
                tensor.requires_grad_(False)
                held.append(tensor)


def _thaw(tensors: list[Tensor]) -> None:
    with _frozen_lock:
        for tensor in tensors:
            _, holders = _frozen.pop(id(tensor))
            if holders > 1:
                _frozen[id(tensor)] = (tensor, holders - 1)
            else:
                tensor.requires_grad_(True)
