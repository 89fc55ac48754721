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
from modelatlas.attribution.steps import RESAMPLE, SHAPE_ONLY, Edge, Reach, source_of

__all__ = ["is_function_of", "is_gate"]

_GATES: Final = frozenset({"SigmoidBackward", "HardsigmoidBackward", "FracBackward"})
_S_SHAPED: Final = frozenset({"TanhBackward", "ErfBackward"})
_CLAMPS: Final = frozenset({"HardtanhBackward", "ClampBackward"})
SHIFTS: Final = frozenset({"AddBackward", "SubBackward", "RsubBackward"})
SCALES: Final = frozenset({"MulBackward", "DivBackward", "NegBackward"})


def is_gate(edge: Edge, reach: Mapping[Any, Reach]) -> bool:
    """Whether an input is a sigmoid or hard sigmoid, perhaps reshaped, scaled or shifted by constants.

    By hand these are 1 + tanh(u) = 2 sigmoid(2u) and 1 + erf(u), shifted by a number so that a signal
    tanh(c), as in an LSTM, does not count; and a value clamped to [0, c] and divided by c, so that a ReLU6
    does not. So is the fraction c - floor(c) of a place: the weight of an interpolation written by hand, as
    constant as grid_sample's.
    """
    node, scale, shifted = edge[0], 1.0, False
    while True:
        name = node_name(node)
        if name in _GATES:
            return True
        if name in _S_SHAPED:
            return shifted and not isnan(scale)
        if name in _CLAMPS:
            return _clamped_to_one(node, scale)
        live = [i for i, (source, _) in enumerate(node.next_functions) if reach.get(source) == Reach.IMAGE]
        if len(live) != 1:
            return name == "SubBackward" and _is_floor_of(source_of(node, 1), source_of(node, 0))
        if name in SCALES:
            scale *= _constant_factor(node, live[0])
        elif name in SHIFTS:
            shifted = True
        elif name in BATCH_NORMS and not of_its_input(node):
            scale = nan
        elif name not in SHAPE_ONLY and name not in RESAMPLE:
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
    return low == 0 and isinstance(high, (int, float)) and isclose(abs(scale) * high, 1, rel_tol=1e-6)


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
