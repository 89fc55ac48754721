"""From a checkpoint's names and axes to a network's state dict, with nothing left open.

Every tensor of the network is filled; what the checkpoint has besides must be known as a leftover of training
(optimizer slots, single numbers such as step counters, what the table lists); anything else is an error that
lists names. So the checkpoint of another model is never loaded by halves.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import torch
from torch import Tensor, nn

from modelatlas.errors import ModelError
from modelatlas.zoo.checkpoints.checkpoint import Checkpoint

__all__ = ["Filled", "Layout", "NameTable", "Slot", "filled", "normed", "stored_shape", "unused_of"]

Layout = Literal["as stored", "HWIO", "HWCM", "IO", "11IO"]
_AXES: Final[dict[str, tuple[int, ...]]] = {
    "HWIO": (3, 2, 0, 1),  # a convolution: OIHW; a transposed one, stored HWOI, becomes IOHW by the same turn
    "HWCM": (2, 3, 0, 1),  # depthwise, one filter a channel: C1HW
    "IO": (1, 0),  # fully connected
    "11IO": (1, 0),  # fully connected, stored as a convolution of 1 x 1
}
_LEFT_BY_TRAINING: Final = (
    r"[/.](Adam|Adam_1|Momentum|RMSProp|RMSProp_1|Adagrad|ExponentialMovingAverage|num_batches_tracked)$",
    r"^(global_step|beta[12]_power(_\d+)?)$",
)
_LISTED: Final = 5


@dataclass(frozen=True)
class Slot:
    """Where one tensor of a network lies in a checkpoint.

    Attributes
    ----------
    name
        In the checkpoint, below its scope.
    layout
        Axes there; `HWIO` and so on are turned into torch's.
    """

    name: str
    layout: Layout = "as stored"


@dataclass(frozen=True)
class NameTable:
    """A network's tensors and the names that a kind of checkpoint has for them.

    Attributes
    ----------
    slots
        By name in the network's state dict.
    anchor
        A name below the scope that every such checkpoint has, by which the scope is found.
    unused
        Patterns of names that the network does not use, beside what training leaves everywhere; matched from
        the start of the whole name, scope included.
    constant
        Tensors that no checkpoint has and that keep the value they were made with (a scale of ones).
    """

    slots: Mapping[str, Slot]
    anchor: str
    unused: tuple[str, ...] = ()
    constant: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Filled:
    """What a checkpoint gave a network.

    Attributes
    ----------
    state
        A whole state dict, without counters of batches.
    scope
        What stands before the names in the checkpoint.
    unused
        Names that were left over, sorted: all known as leftovers.
    """

    state: dict[str, Tensor]
    scope: str
    unused: tuple[str, ...]


def normed(module: str, scope: str, *, scale: bool = True) -> dict[str, Slot]:
    """Slots of a batch norm that TF-Slim wrote below `scope`."""
    names = {"bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    if scale:
        names["weight"] = "gamma"
    return {f"{module}.{ours}": Slot(f"{scope}/BatchNorm/{theirs}") for ours, theirs in names.items()}


def filled(checkpoint: Checkpoint, module: nn.Module, names: NameTable, *, model: str) -> Filled:
    """Read a network's tensors from a checkpoint.

    Raises
    ------
    ModelError
        Variables are missing, of another shape, or not known; the first of each are named.
    CheckpointError
        The checkpoint is damaged.
    """
    scope = _scope(checkpoint, names.anchor, model)
    own = {name: tensor for name, tensor in module.state_dict().items() if _is_weight(name)}
    assert set(own) - names.constant == set(names.slots), "the table of names does not fit the network"
    wanted = {ours: scope + slot.name for ours, slot in names.slots.items()}
    missing = [name for name in wanted.values() if name not in checkpoint]
    misfits = [
        f"{name} is {_times(checkpoint.shape(name))} for {_times(shape)}"
        for name, shape in (
            (wanted[ours], stored_shape(own[ours].shape, slot)) for ours, slot in names.slots.items()
        )
        if name in checkpoint and checkpoint.shape(name) != shape
    ]
    unused = sorted(checkpoint.keys() - set(wanted.values()))
    foreign = [name for name in unused if not _is_leftover(checkpoint, name, names)]
    if missing or misfits or foreign:
        raise ModelError(
            model,
            f"{checkpoint.path} is not its checkpoint: "
            + "; ".join(
                _some(found, what)
                for found, what in ((missing, "missing"), (misfits, "of another shape"), (foreign, "unknown"))
                if found
            )
            + ". Nothing was loaded; give the file that belongs to it",
        )
    state = {ours: _turned(checkpoint[wanted[ours]], slot) for ours, slot in names.slots.items()}
    state |= {name: own[name].clone() for name in names.constant}
    return Filled(state=state, scope=scope, unused=tuple(unused))


def unused_of(filling: Filled) -> dict[str, int]:
    """Count the leftovers by kind: slots by the last part of their names, others by the first."""
    counts: dict[str, int] = {}
    for name in filling.unused:
        training = re.search(_LEFT_BY_TRAINING[0], name)
        kind = training[1] if training else name.removeprefix(filling.scope).partition("/")[0]
        counts[kind] = counts.get(kind, 0) + 1
    return counts


def _scope(checkpoint: Checkpoint, anchor: str, model: str) -> str:
    found = sorted(
        name.removesuffix(anchor) for name in checkpoint if name == anchor or name.endswith("/" + anchor)
    )
    if len(found) == 1:
        return found[0]
    what = "under several scopes" if found else "not in it"
    hint = ", ".join(repr(scope) for scope in found) or ", ".join(list(checkpoint)[:_LISTED]) + ", ..."
    raise ModelError(
        model,
        f"{checkpoint.path} is not its checkpoint: {anchor!r} is {what} ({hint}); "
        "give the file that belongs to it",
    )


def _is_weight(name: str) -> bool:
    return not name.endswith("num_batches_tracked")  # a counter that no checkpoint has and nobody reads


def _is_leftover(checkpoint: Checkpoint, name: str, names: NameTable) -> bool:
    if checkpoint.shape(name) == ():
        return True  # no layer's parameter is a single number: step counters, learning rates
    return any(re.search(pattern, name) for pattern in _LEFT_BY_TRAINING) or any(
        re.match(pattern, name) for pattern in names.unused
    )


def stored_shape(shape: torch.Size, slot: Slot) -> tuple[int, ...]:
    """Shape that a tensor of the network has in the checkpoint."""
    if slot.layout == "as stored":
        return tuple(shape)
    axes = _AXES[slot.layout]
    stored = tuple(shape[axes.index(axis)] for axis in range(len(axes)))
    return (1, 1, *stored) if slot.layout == "11IO" else stored


def _turned(array: np.ndarray[Any, Any], slot: Slot) -> Tensor:
    if slot.layout == "11IO":
        array = array[0, 0]
    if slot.layout != "as stored":
        array = array.transpose(_AXES[slot.layout])
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one number"


def _some(names: list[str], what: str) -> str:
    rest = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{len(names)} variables {what}: {', '.join(names[:_LISTED])}{rest}"
