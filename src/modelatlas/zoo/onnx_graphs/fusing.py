"""What exporters take apart, put together again: attribution treats it as what it is.

x * clip(x + 3, 0, 6) / 6 is one hard-swish, x * (1 + erf(x / sqrt 2)) / 2 one GELU, however its factors are
ordered, and gamma (x - mean) / sqrt(mean((x - mean)^2) + eps) + beta over the last axis one layer norm, whose
inner steps are no target layers. What only looks like one is left as it stands.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from modelatlas.zoo.onnx_graphs.nodes import Arrays, Node

__all__ = ["fused"]


def fused(nodes: Sequence[Node], arrays: Arrays) -> list[Node]:
    """Nodes with each such group replaced by one, where its last node stood; the rest of it dies unread."""
    made_by = {name: node for node in nodes for name in node.outputs}
    result = []
    for node in nodes:
        for op, find in (("HardSwish", _hardswish_input), ("Gelu", _gelu_input)):
            x = find(node, made_by, arrays)
            if x is not None:
                kind = node.op.lower()
                name = node.name.replace(kind, op.lower())
                node = replace(node, op=op, name=name, inputs=(x,), attributes={})
                break
        result.append(_layer_norm(node, made_by, arrays) or node)
    return result


def _layer_norm(node: Node, made_by: Mapping[str, Node], arrays: Arrays) -> Node | None:
    """Recognise a layer norm by its last step, the sum with beta."""
    scaled, beta = _with_constant(node, "Add", made_by, arrays)
    ratio, gamma = _with_constant(scaled, "Mul", made_by, arrays)
    if ratio is None or ratio.op != "Div" or arrays[gamma].ndim != 1 or arrays[beta].ndim != 1:
        return None
    centred, root = made_by.get(ratio.inputs[0]), made_by.get(ratio.inputs[1])
    if centred is None or centred.op != "Sub" or root is None or root.op != "Sqrt":
        return None
    variance, epsilon = _with_constant(made_by.get(root.inputs[0]), "Add", made_by, arrays)
    mean = made_by.get(centred.inputs[1])
    if variance is None or mean is None or not (_last_mean(variance, arrays) and _last_mean(mean, arrays)):
        return None
    square = made_by.get(variance.inputs[0])
    if square is None or mean.inputs[0] != centred.inputs[0] or square.inputs[0] != ratio.inputs[0]:
        return None
    if not (square.op == "Pow" and _is(arrays, square.inputs[1], 2.0)):
        return None
    inputs = (centred.inputs[0], gamma, beta)
    attributes = {"axis": -1, "epsilon": float(arrays[epsilon].reshape(-1)[0])}
    name = node.name.replace("add", "layernormalization")
    return replace(node, op="LayerNormalization", name=name, inputs=inputs, attributes=attributes)


def _with_constant(
    node: Node | None, op: str, made_by: Mapping[str, Node], arrays: Arrays
) -> tuple[Node | None, str]:
    """Split `activation op constant` into the node that made the activation and the constant's name."""
    if node is not None and node.op == op and len(node.inputs) == 2:
        for activation, constant in (node.inputs, node.inputs[::-1]):
            if constant in arrays and activation in made_by:
                return made_by[activation], constant
    return None, ""


def _last_mean(node: Node, arrays: Arrays) -> bool:
    axes = node.get("axes") or arrays.get(node.input(1), np.zeros(0)).tolist()
    return node.op == "ReduceMean" and bool(node.get("keepdims", 1)) and list(axes) == [-1]


def _hardswish_input(node: Node, made_by: Mapping[str, Node], arrays: Arrays) -> str | None:
    if node.op != "Div" or not _is(arrays, node.input(1), 6.0):
        return None
    product = made_by.get(node.inputs[0])
    if product is None or product.op != "Mul":
        return None
    for x, other in (product.inputs, product.inputs[::-1]):
        clip = made_by.get(other)
        if clip is None or clip.op != "Clip":
            continue
        low = _is(arrays, clip.input(1), 0.0) or clip.get("min") == 0.0
        high = _is(arrays, clip.input(2), 6.0) or clip.get("max") == 6.0
        shifted = made_by.get(clip.inputs[0])
        if low and high and shifted is not None and _other(shifted, "Add", 3.0, arrays) == x:
            return x
    return None


def _gelu_input(node: Node, made_by: Mapping[str, Node], arrays: Arrays) -> str | None:
    """Find x of a product of x, 1/2 and 1 + erf(x / sqrt 2), whatever is multiplied first."""
    if node.op != "Mul":
        return None
    factors = list(_factors(node, made_by, arrays))
    if len(factors) != 3:
        return None
    halves = [name for name in factors if _is(arrays, name, 0.5)]
    rest = [name for name in factors if name not in halves]
    if len(halves) != 1 or len(rest) != 2:
        return None
    for x, other in (rest, rest[::-1]):
        sum_ = made_by.get(other)
        erf = None if sum_ is None else made_by.get(_other(sum_, "Add", 1.0, arrays) or "")
        scaled = made_by.get(erf.inputs[0]) if erf is not None and erf.op == "Erf" else None
        if scaled is None:
            continue
        if (
            _other(scaled, "Div", math.sqrt(2), arrays) == x
            or _other(scaled, "Mul", math.sqrt(0.5), arrays) == x
        ):
            return x
    return None


def _factors(node: Node, made_by: Mapping[str, Node], arrays: Arrays) -> Iterator[str]:
    """Yield the three factors of a product of a product with 1/2 among them, in any order."""
    for first, second in (node.inputs, node.inputs[::-1]):
        inner = made_by.get(first)
        if inner is None or inner.op != "Mul":
            continue
        if any(_is(arrays, name, 0.5) for name in (*inner.inputs, second)):
            yield from (*inner.inputs, second)
            return


def _other(node: Node, op: str, value: float, arrays: Arrays) -> str | None:
    """Find the activation in `activation op value`, if the node is that."""
    if node.op != op or len(node.inputs) != 2:
        return None
    if _is(arrays, node.inputs[1], value):
        return node.inputs[0]
    return node.inputs[1] if op != "Div" and _is(arrays, node.inputs[0], value) else None


def _is(arrays: Arrays, name: str, value: float) -> bool:
    if name not in arrays or arrays[name].size != 1:
        return False
    return math.isclose(float(arrays[name].reshape(-1)[0]), value, rel_tol=1e-5)
