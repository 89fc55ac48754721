"""One forward pass up to the target layer, with the model left as it was.

The target T is the sum over all units of the layer, taken where the layer returns: later in-place operations
do not reach it. A layer that returns a tuple, list, dict or dataclass stands for the first floating-point
tensor in it that depends on the image. A layer that runs several times in one pass stands for its last run.
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
from torch.overrides import TorchFunctionMode

from modelatlas.attribution.batchnorm import guard_batch_norm
from modelatlas.attribution.compiled import refuse_scripted, uncompiled
from modelatlas.attribution.hidden import HiddenPlaces
from modelatlas.attribution.record import Recorder
from modelatlas.attribution.recurrent import WithoutCudnn
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
        How often the layer ran up to here.
    recorder
        Notes for the modified pass; None if none was asked for.
    """

    units: Tensor
    total: Tensor
    leaf: Tensor
    source: Any
    calls: int
    recorder: Recorder | None


class _LayerReachedError(BaseException):
    """Ends the forward pass; not an `Exception`, so that a model's own handlers let it through."""


def check_inputs(model: nn.Module, images: Tensor) -> None:
    """Refuse what cannot be attributed.

    Raises
    ------
    AttributionError
        TorchScript, a module in training mode, images of a wrong dtype or shape.
    """
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


def run_to_layer(
    model: nn.Module,
    images: Tensor,
    layer: str,
    *,
    record: bool,
    stop_after: int | None = None,
    around: TorchFunctionMode | None = None,
) -> Tape:
    """Run `model` on `images` and keep the graph from them to `layer`.

    Parameters
    ----------
    layer
        Dotted module name.
    record
        Take the notes that the modified pass needs.
    stop_after
        End the forward pass once the layer has returned so many times; None runs it to the end.
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
    caught: list[tuple[Tensor, Tensor]] = []
    thread = threading.get_ident()

    def catch(module: nn.Module, args: Any, output: Any) -> None:
        if threading.get_ident() != thread:  # the same model, attributed elsewhere at the same time
            return
        units = first_tensor(output, attached=True)
        if units is None:
            units = first_tensor(output)
        if units is None:
            raise AttributionError(
                f"layer {layer!r} returns a {type(output).__name__} without a floating-point tensor: "
                "choose another layer"
            )
        caught[:] = [(units, units.sum())]
        counter[0] += 1
        if counter[0] == stop_after:
            raise _LayerReachedError

    counter = [0]
    leaf = images.clone() if images.is_inference() else images.detach()
    leaf = leaf.requires_grad_() if not leaf.requires_grad else leaf
    entry = leaf.clone()  # not a leaf, so that the model may change it in place
    source = entry.grad_fn
    handle = model.get_submodule(layer).register_forward_hook(catch)
    try:
        with watching, around or nullcontext():
            model(as_weights(model, entry))
    except _LayerReachedError:
        pass
    finally:
        handle.remove()
    if not caught:
        raise AttributionError(f"layer {layer!r} did not run in the forward pass: choose a layer that does")
    units, total = caught[0]
    if not total.requires_grad:
        raise AttributionError(
            f"layer {layer!r} does not depend on the image by differentiable operations: the model detaches "
            f"it or runs under torch.no_grad() {_where_cut(model, leaf)}; choose a layer before that place, "
            "or give modelatlas.through_no_grad(model)"
        )
    if images.device.type == "cpu":
        guard_batch_norm(total.grad_fn)
    return Tape(units, total, leaf, source, counter[0], recorder)


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


_EXPLAINED = {  # what torch says of a model: what to do about it
    "Inference tensors cannot": "the model runs a part of its forward pass under torch.inference_mode(), "
    "which hides it from gradients: write torch.no_grad() there and give modelatlas.through_no_grad(model)",
    "checkpoint is incompatible": "the model recomputes parts of its forward pass: turn its gradient "
    "checkpointing off, or call checkpoint() with use_reentrant=False",
    "modified by an inplace operation": "the model changes in place what its backward pass needs: write that "
    "operation out of place",
}
_frozen: dict[int, tuple[Tensor, int]] = {}
_frozen_lock = threading.Lock()


@contextmanager
def undisturbed(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Parameters frozen, gradients on, random state kept; all as it was afterwards, also after an error.

    Frozen parameters save the memory of what only their gradients need. Threads that attribute the same
    model, or models with parts in common, share the freezing: the last one to leave thaws.
    """
    cuda = [device] if device.type == "cuda" else []
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the caller's state, kept
    held = _freeze([p for p in (*model.parameters(), *model.buffers()) if p.is_leaf])
    try:
        with torch.random.fork_rng(cuda), torch.inference_mode(False), torch.enable_grad(), uncompiled():
            yield
    except RuntimeError as error:
        why = next((why for words, why in _EXPLAINED.items() if words in str(error)), None)
        if why is None:
            raise
        raise AttributionError(f"{why} ({error})") from error
    finally:
        _thaw(held)
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def _freeze(tensors: list[Tensor]) -> list[Tensor]:
    held = []
    with _frozen_lock:
        for tensor in tensors:
            _, holders = _frozen.get(id(tensor), (tensor, 0))
            if holders or tensor.requires_grad:
                _frozen[id(tensor)] = (tensor, holders + 1)
                tensor.requires_grad_(False)
                held.append(tensor)
    return held


def _thaw(tensors: list[Tensor]) -> None:
    with _frozen_lock:
        for tensor in tensors:
            _, holders = _frozen.pop(id(tensor))
            if holders > 1:
                _frozen[id(tensor)] = (tensor, holders - 1)
            else:
                tensor.requires_grad_(True)
