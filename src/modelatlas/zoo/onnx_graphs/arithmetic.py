"""ONNX operators that compute: element by element, along axes, of matrices.

Each makes, from a node, a function of its inputs; see `operators`.
"""

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from modelatlas.zoo.onnx_graphs.nodes import Function, Node, axes_of, plain

__all__ = ["ARITHMETIC"]


def _reduction(reduce: Callable[[Tensor, list[int], bool], Tensor]) -> Callable[[Node], Function]:
    def make(node: Node) -> Function:
        axes, keep = axes_of(node), bool(node.get("keepdims", 1))
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


def _gelu(node: Node) -> Function:
    approximate = node.get("approximate", "none")
    return lambda x: F.gelu(x, approximate=approximate)


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

    return plain(of)


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


ARITHMETIC: Final[Mapping[str, Callable[[Node], Function]]] = {
    "Abs": plain(torch.abs),
    "Add": plain(torch.add),
    "And": plain(torch.logical_and),
    "ArgMax": _argument(torch.argmax),
    "ArgMin": _argument(torch.argmin),
    "Ceil": plain(torch.ceil),
    "Celu": lambda node: lambda x: F.celu(x, node.get("alpha", 1.0)),
    "Clip": _clip,
    "Cos": plain(torch.cos),
    "Div": plain(_divide),
    "Einsum": _einsum,
    "Elu": lambda node: lambda x: F.elu(x, node.get("alpha", 1.0)),
    "Equal": plain(torch.eq),
    "Erf": plain(torch.erf),
    "Exp": plain(torch.exp),
    "Floor": plain(torch.floor),
    "Gelu": _gelu,
    "Gemm": _gemm,
    "Greater": plain(torch.gt),
    "GreaterOrEqual": plain(torch.ge),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": plain(F.hardswish),
    "LeakyRelu": lambda node: lambda x: F.leaky_relu(x, node.get("alpha", 0.01)),
    "Less": plain(torch.lt),
    "LessOrEqual": plain(torch.le),
    "Log": plain(torch.log),
    "LogSoftmax": _softmax(F.log_softmax),
    "LpNormalization": _lp_normalization,
    "MatMul": plain(torch.matmul),
    "Max": _fold(torch.maximum),
    "Mean": plain(lambda *parts: sum(parts) / len(parts)),
    "Min": _fold(torch.minimum),
    "Mish": plain(F.mish),
    "Mod": _modulo,
    "Mul": plain(torch.mul),
    "Neg": plain(torch.neg),
    "Not": plain(torch.logical_not),
    "Or": plain(torch.logical_or),
    "Pow": plain(torch.pow),
    "PRelu": plain(lambda x, slope: torch.where(x >= 0, x, slope * x)),
    "Reciprocal": plain(torch.reciprocal),
    "ReduceL1": _reduction(lambda x, axes, keep: x.abs().sum(dim=axes, keepdim=keep)),
    "ReduceL2": _reduction(lambda x, axes, keep: torch.linalg.vector_norm(x, dim=axes, keepdim=keep)),
    "ReduceLogSumExp": _reduction(lambda x, axes, keep: torch.logsumexp(x, dim=axes, keepdim=keep)),
    "ReduceMax": _reduction(lambda x, axes, keep: x.amax(dim=axes, keepdim=keep)),
    "ReduceMean": _reduction(lambda x, axes, keep: x.mean(dim=axes, keepdim=keep)),
    "ReduceMin": _reduction(lambda x, axes, keep: x.amin(dim=axes, keepdim=keep)),
    "ReduceProd": _reduction(_sequential(torch.prod)),
    "ReduceSum": _reduction(lambda x, axes, keep: x.sum(dim=axes, keepdim=keep)),
    "ReduceSumSquare": _reduction(lambda x, axes, keep: x.square().sum(dim=axes, keepdim=keep)),
    "Relu": plain(F.relu),
    "Round": plain(torch.round),
    "Selu": plain(F.selu),
    "Sigmoid": plain(torch.sigmoid),
    "Sign": plain(torch.sign),
    "Sin": plain(torch.sin),
    "Softmax": _softmax(F.softmax),
    "Softplus": plain(F.softplus),
    "Softsign": plain(F.softsign),
    "Sqrt": plain(torch.sqrt),
    "Sub": plain(torch.sub),
    "Sum": _fold(torch.add),
    "Tanh": plain(torch.tanh),
    "Xor": plain(torch.logical_xor),
}
