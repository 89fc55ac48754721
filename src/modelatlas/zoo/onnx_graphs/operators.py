"""ONNX operators without weights, as functions of their inputs.

Each entry of `OPERATORS` makes, from a node, a function of as many tensors as the node has inputs (None for
one that is left out). Semantics: the operator pages of the ONNX standard, opsets 7 to 21.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from modelatlas.zoo.onnx_graphs.nodes import BATCH, Node, integers

__all__ = ["OPERATORS", "Function", "same_pads"]

Function = Callable[..., Any]
"""Takes the node's inputs, gives its output, or a tuple of them."""

_FLOATS: Final = (1, 10, 11, 16)  # TensorProto: float32, float16, float64, bfloat16
_INTEGERS: Final = {
    2: torch.uint8,
    3: torch.int8,
    5: torch.int16,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
}


def _plain(function: Function) -> Callable[[Node], Function]:
    return lambda node: function


def _axes(node: Node) -> Callable[[Tensor | None], list[int] | None]:
    """Axes from the attribute (older opsets) or from an input."""
    stated = node.get("axes")

    def axes(given: Tensor | None) -> list[int] | None:
        return stated if given is None else integers(given)

    return axes


def _reduction(reduce: Callable[[Tensor, list[int], bool], Tensor]) -> Callable[[Node], Function]:
    def make(node: Node) -> Function:
        axes, keep = _axes(node), bool(node.get("keepdims", 1))
        nothing = bool(node.get("noop_with_empty_axes", 0))

        def function(x: Tensor, given: Tensor | None = None) -> Tensor:
            chosen = axes(given)
            if not chosen and nothing:
                return x
            return reduce(x, chosen or list(range(x.dim())), keep)

        return function

    return make


def _sequential(reduce: Callable[..., Tensor]) -> Callable[[Tensor, list[int], bool], Tensor]:
    def over(x: Tensor, axes: list[int], keep: bool) -> Tensor:
        for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
            x = reduce(x, axis, keep)
        return x

    return over


def _divide(a: Tensor, b: Tensor) -> Tensor:
    if a.is_floating_point() or b.is_floating_point():
        return a / b
    return torch.div(a, b, rounding_mode="trunc")


def _modulo(node: Node) -> Function:
    return torch.fmod if node.get("fmod", 0) else torch.remainder


def _softmax(function: Function) -> Callable[[Node], Function]:
    def make(node: Node) -> Function:
        axis = node.get("axis", -1 if node.opset >= 13 else 1)

        def of(x: Tensor) -> Tensor:
            if node.opset >= 13 or axis in (-1, x.dim() - 1):
                return function(x, dim=axis)  # type: ignore[no-any-return]
            return function(x.flatten(axis), dim=-1).reshape(x.shape)  # type: ignore[no-any-return]

        return of

    return make


def _clip(node: Node) -> Function:
    stated = node.get("min"), node.get("max")

    def clip(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
        bounds = [
            number if tensor is None else float(tensor)
            for number, tensor in zip(stated, (low, high), strict=True)
        ]
        if bounds == [0.0, 6.0]:
            return F.relu6(x)
        return x if bounds == [None, None] else torch.clamp(x, *bounds)

    return clip


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
    axes = _axes(node)

    def squeeze(x: Tensor, given: Tensor | None = None) -> Tensor:
        chosen = axes(given)
        return x.squeeze() if chosen is None else x.squeeze(tuple(chosen))

    return squeeze


def _unsqueeze(node: Node) -> Function:
    axes = _axes(node)

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


def _pad(node: Node) -> Function:
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}.get(
        node.get("mode", "constant")
    )
    if mode is None:
        raise node.unsupported(f"mode {node.get('mode')!r}")
    stated, filling = node.get("pads"), node.get("value", 0.0)

    def pad(
        x: Tensor, pads: Tensor | None = None, value: Tensor | None = None, axes: Tensor | None = None
    ) -> Tensor:
        amounts = stated if pads is None else integers(pads)
        half = len(amounts) // 2
        chosen = range(x.dim()) if axes is None else [axis % x.dim() for axis in integers(axes)]
        sides = dict(zip(chosen, zip(amounts[:half], amounts[half:], strict=True), strict=True))
        last = [side for axis in range(x.dim() - 1, -1, -1) for side in sides.get(axis, (0, 0))]
        while mode != "constant" and last[-2:] == [0, 0]:
            last = last[:-2]
        return F.pad(
            x,
            last,
            mode=mode,
            **({"value": filling if value is None else float(value)} if mode == "constant" else {}),
        )

    return pad


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


def _depth_to_space(node: Node) -> Function:
    size, mode = node.get("blocksize"), node.get("mode", "DCR")

    def move(x: Tensor) -> Tensor:
        if mode == "CRD":
            return F.pixel_shuffle(x, size)
        n, c, h, w = x.shape
        x = x.reshape(n, size, size, c // size**2, h, w).permute(0, 3, 4, 1, 5, 2)
        return x.reshape(n, c // size**2, h * size, w * size)

    return move


def _space_to_depth(node: Node) -> Function:
    size = node.get("blocksize")

    def move(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        x = x.reshape(n, c, h // size, size, w // size, size).permute(0, 3, 5, 1, 2, 4)
        return x.reshape(n, c * size**2, h // size, w // size)

    return move


def _resize(node: Node) -> Function:
    """Nearest as torch's (floor of an asymmetric coordinate), linear and cubic with either corner rule."""
    mode = node.get("mode", "nearest")
    where = node.get("coordinate_transformation_mode", "half_pixel" if node.op == "Resize" else "asymmetric")
    rounds = node.get("nearest_mode", "round_prefer_floor" if node.op == "Resize" else "floor")
    kind = {"nearest": "nearest", "linear": "bilinear", "cubic": "bicubic"}.get(mode)
    corners = where == "align_corners"
    if kind is None or (
        kind != "nearest" and where not in ("half_pixel", "pytorch_half_pixel", "align_corners")
    ):
        raise node.unsupported(f"mode {mode!r} and coordinates {where!r}")
    if kind == "bicubic" and node.get("cubic_coeff_a", -0.75) != -0.75:
        raise node.unsupported("another cubic coefficient than -0.75")

    def resize(x: Tensor, *given: Tensor | None) -> Tensor:
        scales = given[-1] if len(given) < 3 else given[1]  # opset 10 and Upsample have no region of interest
        sizes = given[2] if len(given) > 2 else None
        if sizes is not None:
            target = integers(sizes)[-2:]
            factors = [size / old for size, old in zip(target, x.shape[-2:], strict=True)]
        else:
            assert scales is not None
            factors = [float(value) for value in scales.reshape(-1)[-2:]]
            target = [math.floor(old * factor) for old, factor in zip(x.shape[-2:], factors, strict=True)]
        if kind == "nearest":
            whole = all(float(factor).is_integer() for factor in factors)
            if not whole and (where, rounds) != ("asymmetric", "floor"):
                raise node.unsupported(f"nearest {rounds!r}, {where!r} and a factor that is not whole")
            return F.interpolate(x, target, mode="nearest")
        return F.interpolate(x, target, mode=kind, align_corners=corners)

    return resize


def _max_pool(node: Node) -> Function:
    kernel, strides, pads, dilations, ceil = _window(node)
    upper = node.get("auto_pad") == "SAME_UPPER"

    def pool(x: Tensor) -> Tensor:
        before = same_pads(x, kernel, strides, dilations, upper=upper) if pads is None else pads
        half = len(before) // 2
        if before[:half] == before[half:] and all(
            2 * pad <= side for pad, side in zip(before, kernel, strict=False)
        ):
            return F.max_pool2d(x, kernel, strides, before[:half], dilations, ceil)
        x = F.pad(x, [before[1], before[3], before[0], before[2]], value=-torch.inf)
        return F.max_pool2d(x, kernel, strides, 0, dilations, ceil)

    return pool


def _average_pool(node: Node) -> Function:
    kernel, strides, pads, dilations, ceil = _window(node)
    upper = node.get("auto_pad") == "SAME_UPPER"
    counts = bool(node.get("count_include_pad", 0))
    if any(dilation != 1 for dilation in dilations):
        raise node.unsupported("dilations")

    def pool(x: Tensor) -> Tensor:
        before = same_pads(x, kernel, strides, dilations, upper=upper) if pads is None else pads
        if before[:2] == before[2:]:
            return F.avg_pool2d(x, kernel, strides, before[:2], ceil, counts)
        margins = [before[1], before[3], before[0], before[2]]
        summed = F.avg_pool2d(F.pad(x, margins), kernel, strides, 0, ceil)
        if counts:
            return summed
        ones = F.avg_pool2d(F.pad(torch.ones_like(x[:1, :1]), margins), kernel, strides, 0, ceil)
        return summed / ones

    return pool


def _window(node: Node) -> tuple[list[int], list[int], list[int] | None, list[int], bool]:
    """Kernel, strides, pads (None: found from the size, `auto_pad`), dilations, ceil mode."""
    kernel = list(node.get("kernel_shape"))
    if len(kernel) != 2:
        raise node.unsupported(f"{len(kernel)} spatial axes")
    auto = node.get("auto_pad", "NOTSET") in ("SAME_UPPER", "SAME_LOWER")
    return (
        kernel,
        list(node.get("strides", [1, 1])),
        None if auto else list(node.get("pads", [0, 0, 0, 0])),
        list(node.get("dilations", [1, 1])),
        bool(node.get("ceil_mode", 0)),
    )


def same_pads(
    x: Tensor, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], *, upper: bool
) -> list[int]:
    """Find the pads of SAME: ceil(size / stride) outputs; the odd pixel at the end (UPPER) or the start.

    Returns
    -------
        Top, left, bottom, right.
    """
    totals = [
        max((-(-size // stride) - 1) * stride + dilation * (side - 1) + 1 - size, 0)
        for size, side, stride, dilation in zip(x.shape[-2:], kernel, strides, dilations, strict=True)
    ]
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return small + large if upper else large + small


def _gelu(node: Node) -> Function:
    approximate = node.get("approximate", "none")
    return lambda x: F.gelu(x, approximate=approximate)


def _batch_norm(node: Node) -> Function:
    """With statistics of the input itself (`training_mode`) too: weights that are standardised on the way."""
    epsilon, fresh = node.get("epsilon", 1e-5), bool(node.get("training_mode", 0))

    def normalise(x: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        if fresh:
            return F.batch_norm(x, None, None, scale, shift, True, 0.0, epsilon)
        return F.batch_norm(x, mean, variance, scale, shift, False, 0.0, epsilon)

    return normalise


def _convolve(node: Node) -> Function:
    """With a weight that is computed on the way."""
    pads, groups = node.get("pads", [0, 0, 0, 0]), node.get("group", 1)
    strides, dilations = node.get("strides", [1, 1]), node.get("dilations", [1, 1])
    if len(pads) != 4 or pads[:2] != pads[2:] or node.get("auto_pad", "NOTSET") != "NOTSET":
        raise node.unsupported("a computed weight and pads that differ")
    return lambda x, weight, bias=None: F.conv2d(x, weight, bias, strides, pads[:2], dilations, groups)


def _gemm(node: Node) -> Function:
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)

    def multiply(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        product: Tensor = alpha * (
            (a.T if node.get("transA", 0) else a) @ (b.T if node.get("transB", 0) else b)
        )
        return product if c is None else product + beta * c

    return multiply


def _einsum(node: Node) -> Function:
    return lambda *parts: torch.einsum(node.get("equation"), *parts)


def _trilu(node: Node) -> Function:
    take = torch.triu if node.get("upper", 1) else torch.tril
    return lambda x, k=None: take(x, 0 if k is None else int(k))


def _hard_sigmoid(node: Node) -> Function:
    """clip(alpha x + 1/2, 0, 1) as torch's hard sigmoid, which is clip(z / 6 + 1/2, 0, 1)."""
    alpha, beta = node.get("alpha", 0.2), node.get("beta", 0.5)
    if beta != 0.5:
        raise node.unsupported(f"beta {beta}")
    return lambda x: F.hardsigmoid(x if abs(6 * alpha - 1) < 1e-4 else 6 * alpha * x)


def _lp_normalization(node: Node) -> Function:
    axis, order = node.get("axis", -1), node.get("p", 2)
    return lambda x: F.normalize(x, p=order, dim=axis, eps=0.0)


def _argument(find: Function) -> Callable[[Node], Function]:
    def make(node: Node) -> Function:
        axis, keep = node.get("axis", 0), bool(node.get("keepdims", 1))
        return lambda x: find(x, dim=axis, keepdim=keep)

    return make


def _fold(function: Function) -> Callable[[Node], Function]:
    def of(*parts: Tensor) -> Tensor:
        result = parts[0]
        for part in parts[1:]:
            result = function(result, part)
        return result

    return _plain(of)


OPERATORS: Final[dict[str, Callable[[Node], Function]]] = {
    "Abs": _plain(torch.abs),
    "Add": _plain(torch.add),
    "And": _plain(torch.logical_and),
    "ArgMax": _argument(torch.argmax),
    "ArgMin": _argument(torch.argmin),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Ceil": _plain(torch.ceil),
    "Celu": lambda node: lambda x: F.celu(x, node.get("alpha", 1.0)),
    "Clip": _clip,
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Conv": _convolve,
    "Cos": _plain(torch.cos),
    "DepthToSpace": _depth_to_space,
    "Div": _plain(_divide),
    "Dropout": _plain(lambda x, *rest: x),
    "Einsum": _einsum,
    "Elu": lambda node: lambda x: F.elu(x, node.get("alpha", 1.0)),
    "Equal": _plain(torch.eq),
    "Erf": _plain(torch.erf),
    "Exp": _plain(torch.exp),
    "Expand": _plain(_expand),
    "Flatten": _flatten,
    "Floor": _plain(torch.floor),
    "Gather": _gather,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": _plain(lambda x: x.mean(dim=tuple(range(2, x.dim())), keepdim=True)),
    "GlobalMaxPool": _plain(lambda x: x.amax(dim=tuple(range(2, x.dim())), keepdim=True)),
    "Greater": _plain(torch.gt),
    "GreaterOrEqual": _plain(torch.ge),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _plain(F.hardswish),
    "Identity": _plain(lambda x: x),
    "LeakyRelu": lambda node: lambda x: F.leaky_relu(x, node.get("alpha", 0.01)),
    "Less": _plain(torch.lt),
    "LessOrEqual": _plain(torch.le),
    "Log": _plain(torch.log),
    "LogSoftmax": _softmax(F.log_softmax),
    "LpNormalization": _lp_normalization,
    "LRN": lambda node: (
        lambda x: F.local_response_norm(
            x, node.get("size"), node.get("alpha", 1e-4), node.get("beta", 0.75), node.get("bias", 1.0)
        )
    ),
    "MatMul": _plain(torch.matmul),
    "Max": _fold(torch.maximum),
    "MaxPool": _max_pool,
    "Mean": _plain(lambda *parts: sum(parts) / len(parts)),
    "Min": _fold(torch.minimum),
    "Mish": _plain(F.mish),
    "Mod": _modulo,
    "Mul": _plain(torch.mul),
    "Neg": _plain(torch.neg),
    "Not": _plain(torch.logical_not),
    "Or": _plain(torch.logical_or),
    "Pad": _pad,
    "Pow": _plain(torch.pow),
    "PRelu": _plain(lambda x, slope: torch.where(x >= 0, x, slope * x)),
    "Range": _plain(lambda start, limit, delta: torch.arange(start.item(), limit.item(), delta.item())),
    "Reciprocal": _plain(torch.reciprocal),
    "ReduceL1": _reduction(lambda x, axes, keep: x.abs().sum(dim=axes, keepdim=keep)),
    "ReduceL2": _reduction(lambda x, axes, keep: torch.linalg.vector_norm(x, dim=axes, keepdim=keep)),
    "ReduceLogSumExp": _reduction(lambda x, axes, keep: torch.logsumexp(x, dim=axes, keepdim=keep)),
    "ReduceMax": _reduction(lambda x, axes, keep: x.amax(dim=axes, keepdim=keep)),
    "ReduceMean": _reduction(lambda x, axes, keep: x.mean(dim=axes, keepdim=keep)),
    "ReduceMin": _reduction(lambda x, axes, keep: x.amin(dim=axes, keepdim=keep)),
    "ReduceProd": _reduction(_sequential(torch.prod)),
    "ReduceSum": _reduction(lambda x, axes, keep: x.sum(dim=axes, keepdim=keep)),
    "ReduceSumSquare": _reduction(lambda x, axes, keep: x.square().sum(dim=axes, keepdim=keep)),
    "Relu": _plain(F.relu),
    "Reshape": _reshape,
    "Resize": _resize,
    "Round": _plain(torch.round),
    "Selu": _plain(F.selu),
    "Shape": _shape,
    "Sigmoid": _plain(torch.sigmoid),
    "Sign": _plain(torch.sign),
    "Sin": _plain(torch.sin),
    "Size": _plain(lambda x: torch.tensor(x.numel())),
    "Slice": _slice,
    "Softmax": _softmax(F.softmax),
    "Softplus": _plain(F.softplus),
    "Softsign": _plain(F.softsign),
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Sqrt": _plain(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _plain(torch.sub),
    "Sum": _fold(torch.add),
    "Tanh": _plain(torch.tanh),
    "Tile": _plain(lambda x, repeats: x.repeat(*integers(repeats))),
    "Transpose": _transpose,
    "Trilu": _trilu,
    "Unsqueeze": _unsqueeze,
    "Upsample": _resize,
    "Where": _plain(torch.where),
    "Xor": _plain(torch.logical_xor),
}
