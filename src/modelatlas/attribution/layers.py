"""Which layer to attribute, chosen from one traced forward pass without knowing any architecture.

What other tasks can use are the features that a network ends with. For a network that gives a vector: the
last layer that still has extent (pixels or tokens), before pooling, flattening and the head. For a dense
network, whose output is larger than its smallest feature map: its bottleneck, the widest layer at the
smallest extent. Left out are

- a head's inside: a module that starts in the second half of the pass and returns a vector;
- what a network says of a set of objects: two outputs or more with as many rows, of different shapes (classes
  and boxes), and whatever has those rows;
- class maps: what one last layer makes with as many channels as the model has outputs;
- modules that only pool or rearrange, and those that return what another one after them returns again;
- norms over what depends on the image (the sum over a LayerNorm's units is constant, or close to it), and
  whatever else is dead.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from modelatlas.attribution.forward import all_tensors, as_weights, check_inputs, first_tensor, undisturbed
from modelatlas.attribution.liveness import layer_facts, model_key
from modelatlas.errors import AttributionError

__all__ = ["LayerInfo", "TargetLayer", "candidate_layers", "target_layer"]


@dataclass(frozen=True)
class TargetLayer:
    """The layer whose units are summed.

    Attributes
    ----------
    name
        Dotted module name; empty for the whole model.
    shape
        Of its output, without the batch axis.
    reason
        One sentence: why this layer.
    """

    name: str
    shape: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class LayerInfo:
    """A module that ran, in the order in which modules returned.

    Attributes
    ----------
    name, kind
        Dotted module name and class name.
    shape
        Of its output, without the batch axis.
    note
        Why it is, or is not, a good target.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    note: str


@dataclass
class _Run:
    """A module's (last) run."""

    name: str
    module: nn.Module
    shape: tuple[int, ...]
    same: bool  # returned the very tensor that the module before it returned
    late: bool  # began in the second half of the forward pass
    pieces: int = 1  # windows that its batch axis counts beside the image, or tokens that come first
    objects: bool = False  # has a row for each object of a set

    @property
    def extent(self) -> int:
        """Places (pixels, tokens) that its output distinguishes: 1 for a vector."""
        if len(self.shape) < 2:
            return 1
        if len(self.shape) == 2:
            return self.pieces * self.shape[0]
        return self.pieces * (prod(self.shape) // self.width)

    @property
    def width(self) -> int:
        """Channels: the first axis of a map, the last of tokens and of maps with channels last."""
        if len(self.shape) < 3:
            return self.shape[-1] if self.shape else 1
        channels_last = self.shape[0] == self.shape[1] != self.shape[-1]
        return self.shape[-1] if channels_last else self.shape[0]


_chosen: WeakKeyDictionary[nn.Module, dict[Hashable, TargetLayer]] = WeakKeyDictionary()


def target_layer(model: nn.Module, images: Tensor) -> TargetLayer:
    """Choose the target layer for `model` by forward passes of the first image; remembered.

    Raises
    ------
    AttributionError
        No layer has a sum that depends on the image, or a part of its gradient is hidden.
    """
    check_inputs(model, images)
    key, known = model_key(model, images), _chosen.setdefault(model, {})
    if key not in known:
        with undisturbed(model, images.device):
            known[key] = _choose(model, images[:1])
    return known[key]


def _choose(model: nn.Module, image: Tensor) -> TargetLayer:
    refusal = ""
    for run, reason in _in_order(_trace(model, image)):
        try:
            facts = layer_facts(model, image, run.name)
        except AttributionError as error:  # does not depend on the image
            refusal = refusal or f". The best one: {error}"
            continue
        if not facts.dead and not facts.normalised:
            return TargetLayer(run.name, facts.shape, reason)
    raise AttributionError(
        f"no layer of the model has a sum that depends on the image: name one with `layer`{refusal}"
    )


def candidate_layers(model: nn.Module, images: Tensor) -> list[LayerInfo]:
    """Modules in the order in which they returned, with a note on each as a target."""
    chosen = target_layer(model, images)
    with undisturbed(model, images.device):
        runs = _trace(model, images[:1])
    return [LayerInfo(run.name, type(run.module).__name__, run.shape, _note(run, chosen)) for run in runs]


def _note(run: _Run, chosen: TargetLayer) -> str:
    if run.name == chosen.name:
        return f"chosen: {chosen.reason}"
    if _is_norm(run.module):
        return "a norm: the sum over its units may be constant"
    if run.objects:
        return "a row for each object of a set: a head"
    return "no extent: after pooling or inside a gate" if run.extent == 1 else ""


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, (nn.LayerNorm, nn.GroupNorm)) or "Norm" in type(module).__name__


def _trace(model: nn.Module, image: Tensor) -> list[_Run]:
    runs: dict[str, _Run] = {}
    starts: dict[str, int] = {}
    previous: list[Any] = [None]
    last: list[tuple[int, ...]] = [()]
    returned = [0]
    names = {module: name for name, module in model.named_modules()}

    def begin(module: nn.Module, args: Any) -> None:
        starts[names[module]] = returned[0]

    def note(module: nn.Module, args: Any, output: Any) -> None:
        returned[0] += 1
        tensor = first_tensor(output)
        if tensor is None or not tensor.dim():
            return
        name, shape = names[module], tuple(tensor.shape[1:])
        if last[0] == (1, *shape):  # a map that lost its single channel
            shape = last[0]
        last[0] = shape
        runs.pop(name, None)
        runs[name] = _Run(name, module, shape, tensor is previous[0], False, tensor.shape[0])
        previous[0] = tensor

    handles = [module.register_forward_pre_hook(begin) for module in names]
    handles += [module.register_forward_hook(note) for module in names]
    try:
        with torch.no_grad():
            output = model(as_weights(model, image.clone()))
    finally:
        for handle in handles:
            handle.remove()
    for run in runs.values():
        run.late = starts[run.name] > returned[0] / 2
    found = list(runs.values())
    _mark_objects(found[:-1], [tuple(t.shape[1:]) for t in all_tensors(output)])
    return found


def _mark_objects(runs: list[_Run], outputs: list[tuple[int, ...]]) -> None:
    """Mark what has a row for each object, if the outputs are of a set of objects."""
    counts = {shape[0] for shape in outputs if len(shape) == 2 and shape[0] > 1}
    sets = {n for n in counts if len({shape for shape in outputs if shape[:1] == (n,)}) > 1}
    begun = False
    for run in runs:
        rows = run.shape[:1] != () and run.shape[0] in sets
        begun = begun or (rows and len(run.shape) == 2)  # before that, as many channels
        run.objects = rows and begun


def _in_order(runs: list[_Run]) -> Iterator[tuple[_Run, str]]:
    """Modules worth trying, best first, with the reason."""
    whole = runs[-1]
    heads = tuple(f"{run.name}." for run in runs if run.late and run.extent == 1)
    spatial = [run for run in runs if run.name and run.extent > 1 and not run.objects]
    spatial = [run for run in spatial if not run.name.startswith(heads)]
    if whole.extent == 1 < whole.width:
        spatial = _without_class_maps(spatial, whole.width)
    elif whole.extent > 1 and spatial:
        yield from (
            (run, "widest layer at the smallest extent: the bottleneck") for run in _bottom(spatial, whole)
        )
    reason = "last layer with spatial extent, before pooling and the head"
    for run in _outermost(spatial):
        yield run, reason
        reason = "last layer with spatial extent whose sum depends on the image, before the final norm"
    yield from ((run, "last layer of the model") for run in reversed(runs))


def _without_class_maps(spatial: list[_Run], classes: int) -> list[_Run]:
    """Drop what comes last and has a channel for each output, a width that no layer before it has.

    If one layer alone made it so: a network without a head, as wide as its features, ends with more.
    """
    last = max((i for i, run in enumerate(spatial) if run.width != classes), default=-1)
    before, after = spatial[: last + 1], spatial[last + 1 :]
    makers = [run for run in after if next(run.module.parameters(recurse=False), None) is not None]
    new = before and all(run.width != classes for run in before)
    return before if new and len(makers) == 1 else spatial


def _bottom(spatial: list[_Run], whole: _Run) -> Iterator[_Run]:
    """Wide layers at the smallest extent, the widest and last first; none if the output is about as small.

    About: a class token more or less is no other extent.
    """
    extents = {run.name: run.extent for run in spatial}
    outer = [run for run in spatial if run.extent not in (extents.get(name) for name in _ancestors(run.name))]
    # Half the width: not the branches that a pyramid pools, nor a head's few channels.
    wide = [run for run in outer if 2 * run.width >= max(other.width for other in outer)]
    smallest = min(run.extent for run in wide)
    if 2 * smallest > whole.extent:
        return
    tried = list(_outermost(spatial))
    at_bottom = [run for run in tried if run in wide and run.extent < 2 * smallest]
    for top in sorted(at_bottom, key=lambda run: -run.width):
        yield top
        inside = [run for run in tried if run.name.startswith(f"{top.name}.")]
        yield from (run for run in inside if (run.width, run.extent) == (top.width, top.extent))


def _ancestors(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _outermost(runs: list[_Run]) -> Iterator[_Run]:
    """Backwards, without modules that return what the one after them returns again, or only rearrange."""
    taken = False
    for run in reversed(runs):
        if not taken and not _rearranges(run.module):
            yield run
            taken = True
        taken = taken and run.same


def _rearranges(module: nn.Module) -> bool:
    kind = type(module).__name__
    pools = "Pool" in kind and next(module.parameters(), None) is None
    return pools or "Dropout" in kind or kind in {"Identity", "Flatten", "Unflatten", "Upsample"}
