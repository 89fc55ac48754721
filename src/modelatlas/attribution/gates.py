"""Which factor of a product is a gate, and which product is one element-wise function.

Both are read off the graph behind a factor: a gate is a constant of the modified pass (Arras et al. 2017),
and x * h(x) with h element-wise, such as SiLU, Mish or GELU by hand, is a nonlinearity like any other.
"""

from collections.abc import Mapping
from math import isclose, isnan, nan
from typing import Any, Final

from torch import Tensor

from modelatlas.attribution.batchnorm import BATCH_NORMS, of_its_input
from modelatlas.attribution.nonlinear import ELEMENTWISE, node_name
from modelatlas.attribution.steps import RESAMPLE, SHAPE_ONLY, Edge, Reach, names, source_of

__all__ = ["SHIFT", "is_function_of", "is_gate"]

_GATES: Final = frozenset({"SigmoidBackward", "HardsigmoidBackward", "FracBackward"})
_S_SHAPED: Final = frozenset({"TanhBackward", "ErfBackward"})
_CLAMPS: Final = frozenset({"HardtanhBackward", "ClampBackward"})
# A value between two gates, or one of them, is a gate.
_TOGETHER: Final = names("Add Cat IndexPut Maximum Minimum Mul Stack Where")
_KEPT: Final = _CLAMPS | names(
    "AdaptiveAvgPool2D AdaptiveMaxPool2D Amax Amin AvgPool2D Cat ClampMax ClampMin IndexPut MaskedFill "
    "MaxPool2DWithIndices Maximum Mean Minimum Stack Where"
)
_DEEPEST: Final = 8
SHIFT: Final = "modelatlas.shift"
"""Key in a node's metadata: the number that was added there, NaN for other constants (see `record`)."""
SHIFTS: Final = frozenset({"AddBackward", "SubBackward", "RsubBackward"})
SCALES: Final = frozenset({"MulBackward", "DivBackward", "NegBackward"})


def is_gate(edge: Edge, reach: Mapping[Any, Reach], *, depth: int = 0) -> bool:
    """Whether an input is a sigmoid or hard sigmoid, perhaps reshaped, pooled, scaled, shifted.

    By hand these are 1 + tanh(u) = 2 sigmoid(2u) and 1 + erf(u), shifted by just the number that they reach
    down to, so that a signal tanh(c), as in an LSTM, does not count; and a value clamped to [0, c] and
    divided by c, so that a ReLU6 does not. So is the fraction c - floor(c) of a place: the weight of an
    interpolation written by hand, as constant as grid_sample's. Products, sums and choices of gates are
    gates.
    """
    node, scale, shift, unseen = edge[0], 1.0, 0.0, False
    while True:
        name = node_name(node)
        if name in _GATES or (name in _CLAMPS and _clamped_to_one(node, scale)):
            return True
        if name in _S_SHAPED:
            fits = shift != 0 and isclose(abs(shift), abs(scale), rel_tol=1e-6)
            return fits or (unseen and not isnan(scale))
        live = [i for i, (source, _) in enumerate(node.next_functions) if reach.get(source) == Reach.IMAGE]
        if len(live) != 1:
            if name == "SubBackward" and _is_floor_of(source_of(node, 1), source_of(node, 0)):
                return True
            together = name in _TOGETHER and depth < _DEEPEST and len(live) > 1
            return together and all(is_gate(source_of(node, i), reach, depth=depth + 1) for i in live)
        if name in SCALES:
            scale *= _constant_factor(node, live[0])
        elif name in SHIFTS:
            number = node.metadata.get(SHIFT)
            unseen = unseen or number is None  # inside a composite function: taken to fit
            subtracted = name == "SubBackward" and live[0] == 0
            shift += scale * (number or 0) * (-1 if subtracted else 1)
            if name == "RsubBackward" or (name == "SubBackward" and live[0] == 1):
                scale = -scale
        elif name in BATCH_NORMS and not of_its_input(node):
            scale = nan
        elif name not in SHAPE_ONLY and name not in RESAMPLE and name not in _KEPT:
            return False
        node = source_of(node, live[0])[0]


def _is_floor_of(edge: Edge, place: Edge) -> bool:
    return node_name(edge[0]) == "FloorBackward" and source_of(edge[0], 0) == place


def _constant_factor(node: Any, position: int) -> float:
    """Give the number that a node multiplies its one image-dependent input by; NaN if there is none."""
    if node_name(node) == "NegBackward":
        return -1.0
    other = node._saved_other if position == 0 else node._saved_self
    if not isinstance(other, Tensor):
        return float(other)
    if other.dim() > 0:
        return nan
    return float(other) if node_name(node) == "MulBackward" else 1 / float(other)


def _clamped_to_one(node: Any, scale: float) -> bool:
    hard = node_name(node) == "HardtanhBackward"
    low, high = (node._saved_min_val, node._saved_max_val) if hard else (node._saved_min, node._saved_max)
    numbers = isinstance(low, (int, float)) and isinstance(high, (int, float))
    return numbers and low == 0 and isclose(abs(scale) * high, 1, rel_tol=1e-6)


def is_function_of(edge: Edge, argument: Edge, reach: Mapping[Any, Reach]) -> bool:
    """Whether an input is an element-wise function of `argument` and of constants alone."""
    todo, steps = [edge], 0
    while todo:
        here = todo.pop()
        if here == argument:
            continue
        name = node_name(here[0])
        if (name not in ELEMENTWISE and name not in SHIFTS and name not in SCALES) or steps > 16:
            return False
        todo.extend(source for source in here[0].next_functions if reach.get(source[0], 0) == Reach.IMAGE)
        steps += 1
    return True
