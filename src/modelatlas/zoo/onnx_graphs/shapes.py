"""ONNX operators that rearrange, pick, join and make tensors.

Each makes, from a node, a function of its inputs; see `operators`.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from modelatlas.zoo.onnx_graphs.nodes import BATCH, Function, Node, axes_of, integers, plain

__all__ = ["SHAPES"]


_FLOATS: Final = (1, 10, 11, 16)  # TensorProto: float32, float16, float64, bfloat16


_INTEGERS: Final = {
    2: torch.uint8,
    3: torch.int8,
    5: torch.int16,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
}


def _reshape(node: Node) -> Function:
    keeps_zero, one_image = bool(node.get("allowzero", 0)), node.one_image

    def reshape(x: Tensor, shape: Tensor) -> Tensor:
        sizes = integers(shape)
        if not keeps_zero:
            sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
        batch = BATCH.get() if one_image else 1
        # a shape for one image: the batch is its slowest axis; `network` checks that this is right
        if batch > 1 and (sizes[0] == 1 if -1 in sizes else math.prod(sizes) * batch == x.numel()):
            sizes[0] *= batch
        return x.reshape(sizes)

    return reshape


def _concat(node: Node) -> Function:
    axis = node.get("axis", 1)

    def concat(*parts: Tensor) -> Tensor:
        batch = max((part.shape[0] for part in parts), default=1)
        if axis != 0 and parts[0].dim() > 1:  # a token of one image, before those of several
            parts = tuple(
                part.expand(batch, *part.shape[1:]) if part.shape[0] == 1 else part for part in parts
            )
        return torch.cat(parts, dim=axis)

    return concat


def _split(node: Node) -> Function:
    axis, stated = node.get("axis", 0), node.get("split")

    def split(x: Tensor, given: Tensor | None = None) -> tuple[Tensor, ...]:
        sizes = stated if given is None else integers(given)
        if sizes is None:
            size = -(-x.shape[axis] // len(node.outputs))
            return torch.split(x, size, dim=axis)
        return torch.split(x, list(sizes), dim=axis)

    return split


def _slice(node: Node) -> Function:
    attributes = node.get("starts"), node.get("ends"), node.get("axes")

    def cut(x: Tensor, *given: Tensor | None) -> Tensor:
        if given:
            lists: list[Any] = [None if part is None else integers(part) for part in given]
            starts, ends, axes, steps = lists + [None] * (4 - len(lists))
        else:
            (starts, ends, axes), steps = attributes, None
        for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
            axis = number if axes is None else axes[number]
            step = 1 if steps is None else steps[number]
            places = range(x.shape[axis])[
                slice(start, end if abs(end) < 2**31 - 1 else (None if end > 0 or step < 0 else end), step)
            ]
            if step == 1:
                x = x.narrow(axis, places.start, len(places)) if len(places) else x.narrow(axis, 0, 0)
            else:
                x = x.index_select(axis, torch.tensor(list(places), device=x.device, dtype=torch.long))
        return x

    return cut


def _gather(node: Node) -> Function:
    axis = node.get("axis", 0)

    def gather(x: Tensor, index: Tensor) -> Tensor:
        places = torch.where(index < 0, index + x.shape[axis], index).long().to(x.device)
        if places.dim() == 0:
            return x.select(axis, int(places))
        taken = x.index_select(axis, places.reshape(-1))
        at = axis % x.dim()
        return taken.reshape(*x.shape[:at], *places.shape, *x.shape[at + 1 :])

    return gather


def _squeeze(node: Node) -> Function:
    axes = axes_of(node)

    def squeeze(x: Tensor, given: Tensor | None = None) -> Tensor:
        chosen = axes(given)
        return x.squeeze() if chosen is None else x.squeeze(tuple(chosen))

    return squeeze


def _unsqueeze(node: Node) -> Function:
    axes = axes_of(node)

    def unsqueeze(x: Tensor, given: Tensor | None = None) -> Tensor:
        chosen = axes(given) or []
        for axis in sorted(axis % (x.dim() + len(chosen)) for axis in chosen):
            x = x.unsqueeze(axis)
        return x

    return unsqueeze


def _transpose(node: Node) -> Function:
    order = node.get("perm")
    return lambda x: x.permute(*(order if order is not None else range(x.dim() - 1, -1, -1)))


def _flatten(node: Node) -> Function:
    axis = node.get("axis", 1)
    return lambda x: x.reshape(math.prod(x.shape[: axis % (x.dim() + 1)]), -1) if axis != 1 else x.flatten(1)


def _shape(node: Node) -> Function:
    start, end = node.get("start", 0), node.get("end")
    return lambda x: torch.tensor(list(x.shape[start:end]), dtype=torch.int64)


def _expand(x: Tensor, shape: Tensor) -> Tensor:
    sizes = tuple(integers(shape))
    return x.expand(torch.broadcast_shapes(x.shape, sizes))  # type: ignore[no-untyped-call]


def _cast(node: Node) -> Function:
    to = node.get("to")
    if to not in _FLOATS and to not in _INTEGERS:
        raise node.unsupported(f"the type number {to}")

    def cast(x: Tensor, *, like: Tensor) -> Tensor:
        if to in _INTEGERS:
            return x.to(_INTEGERS[to])
        return x if x.is_floating_point() else x.to(like.dtype)

    return cast


def _constant_of_shape(node: Node) -> Function:
    value = node.get("value")
    number = np.zeros(1, np.float32) if value is None else np.asarray(value).reshape(-1)

    def fill(shape: Tensor, *, like: Tensor) -> Tensor:
        kind = like.dtype if number.dtype.kind == "f" else torch.from_numpy(number.copy()).dtype
        return torch.full(tuple(integers(shape)), number[0].item(), dtype=kind, device=like.device)

    return fill


def _trilu(node: Node) -> Function:
    take = torch.triu if node.get("upper", 1) else torch.tril
    return lambda x, k=None: take(x, 0 if k is None else int(k))


SHAPES: Final[Mapping[str, Callable[[Node], Function]]] = {
    "Cast": _cast,
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Dropout": plain(lambda x, *rest: x),
    "Expand": plain(_expand),
    "Flatten": _flatten,
    "Gather": _gather,
    "Identity": plain(lambda x: x),
    "Range": plain(lambda start, limit, delta: torch.arange(start.item(), limit.item(), delta.item())),
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": plain(lambda x: torch.tensor(x.numel())),
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": plain(lambda x, repeats: x.repeat(*integers(repeats))),
    "Transpose": _transpose,
    "Trilu": _trilu,
    "Unsqueeze": _unsqueeze,
    "Where": plain(torch.where),
}
