"""Products and quotients in the modified backward pass.

A gate is a constant; else each image-dependent factor gets half (Achtibat et al. 2024). A denominator is a
constant, and so is exp(x) / sum(exp(x)), a softmax written by hand (Ali et al. 2022).
"""

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor

from modelatlas.attribution.gates import is_function_of, is_gate
from modelatlas.attribution.nonlinear import node_name
from modelatlas.attribution.steps import (
    SHAPE_ONLY,
    Edge,
    Grads,
    Pull,
    Reach,
    Step,
    half,
    names,
    plain,
    source_of,
    untraceable,
)

__all__ = ["addcdiv", "all_of", "bilinear", "deformed", "exponential", "lerp", "power", "product", "quotient"]

_MATRIX: Final = names("Bmm Mm")
_TRILINEAR: Final = names("Trilinear")


def _carriers(node: Any, factors: tuple[int, ...], reach: Mapping[Any, Reach]) -> tuple[int, ...]:
    """Those of a product's factors that relevance goes through: not gates, not what is constant here."""
    carriers = tuple(i for i in factors if reach[source_of(node, i)[0]] == Reach.IMAGE) or factors
    signals = tuple(i for i in carriers if not is_gate(source_of(node, i), reach))
    return signals or carriers


def product(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    """Rule of an element-wise product."""
    if len(live) == 2:
        first, second = source_of(node, 0), source_of(node, 1)
        for mine, other, position in ((first, second, 0), (second, first, 1)):
            if mine != other and reach[other[0]] == Reach.IMAGE and is_function_of(other, mine, reach):
                return Step((position,), None)
    carriers = _carriers(node, live, reach)
    if len(carriers) == 2:
        return Step(carriers, half)
    saved = "_saved_other" if carriers == (0,) else "_saved_self"
    return Step(carriers, None, lambda node: getattr(node, saved).conj())


def bilinear(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    """Rule of convolutions and matrix products, also with an addend, and of `nn.Bilinear`."""
    name = node_name(node)
    # Before or after what is added; all three of a trilinear form.
    places = (1, 2) if name.startswith(("Add", "Badd")) else (0, 1, 2) if name in _TRILINEAR else (0, 1)
    factors = tuple(i for i in live if i in places)
    carriers = _carriers(node, factors, reach) if factors else ()
    inputs = tuple(i for i in live if i not in factors or i in carriers)
    if len(carriers) < 2:
        return Step(inputs, _one_factor(carriers[0]) if name in _MATRIX and len(factors) == 2 else plain)

    share = 1 / len(carriers)

    def pull(node: Any, grads: Grads) -> Grads:
        found = plain(node, grads)
        return [g * share if i in factors and g is not None else g for i, g in enumerate(found)]

    return Step(inputs, pull)


def deformed(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    """Rule of a deformable convolution (input, weight, offset, mask, bias): the offsets say where to read.

    The mask is a factor of the input, and a gate as everywhere else if it is a sigmoid.
    """
    factors = tuple(i for i in live if i in (0, 3))
    carriers = _carriers(node, factors, reach) if factors else ()
    share = 1 / max(1, len(carriers))

    def pull(node: Any, grads: Grads) -> Grads:
        found = node.apply(*grads) if hasattr(node, "apply") else plain(node, grads)
        return [g * share if i in factors and g is not None else g for i, g in enumerate(found)]

    return Step(tuple(i for i in live if i == 4 or i in carriers), pull)


def _one_factor(position: int) -> Pull:
    """Backward of a matrix product to one factor; autograd's would compute both."""

    def pull(node: Any, grads: Grads) -> Grads:
        if position == 0:
            return (grads[0] @ node._saved_mat2.mH, None)
        return (None, node._saved_self.mH @ grads[0])

    return pull


def _through_views(edge: Edge) -> Any:
    """Node that made the values behind views of them."""
    node = edge[0]
    while node_name(node) in SHAPE_ONLY:
        node = node.next_functions[0][0]
    return node


def all_of(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    """Rule of a product along an axis: each of its n factors gets one n-th."""

    def pull(node: Any, grads: Grads) -> Grads:
        along = getattr(node, "_saved_dim", None)
        data = node._saved_self
        count = data.numel() if along is None else data.shape[along]
        return [None if g is None else g / count for g in plain(node, grads)]

    return Step(live, pull)


def quotient(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    """Rule of a quotient: its denominator is a constant."""
    if 0 not in live or (1 in live and _is_softmax(node, reach)):
        return Step((), None)
    return Step((0,), None, lambda node: _reciprocal(node._saved_other))


def _reciprocal(divisor: Any) -> Tensor:
    if not isinstance(divisor, Tensor) or (divisor.dim() == 0 and divisor.device.type == "cpu"):
        number = divisor.item() if isinstance(divisor, Tensor) else divisor
        # A number that torch wrapped as a tensor would turn into float32 on the way.
        exact = torch.complex128 if isinstance(number, complex) else torch.float64
        return torch.tensor(number, dtype=exact).conj().reciprocal()
    return divisor.conj().reciprocal()


def _is_softmax(quotient: Any, reach: Mapping[Any, Reach]) -> bool:
    """Whether a quotient is exp(x) / sum(exp(x))."""
    above = _through_views(source_of(quotient, 0))
    below = _through_views(source_of(quotient, 1))
    if node_name(above) != "ExpBackward" or node_name(below) != "SumBackward":
        return False
    return _through_views(source_of(below, 0)) is above


def exponential(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    """Rule of exp: a nonlinearity, but a constant where it makes a softmax."""
    argument = _through_views(source_of(node, 0))
    if node_name(argument) == "LogSoftmaxBackward":
        return Step((), None)
    if node_name(argument) == "SubBackward":
        subtracted = source_of(argument, 1)[0]
        if subtracted is not None and node_name(subtracted) == "LogsumexpBackward":
            return Step((), None)
    return Step(live, None)


def power(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    """Rule of a power: a reciprocal, nothing, a product or a nonlinearity, by its exponent."""
    if node.name() != "PowBackward0":  # of two tensors, or of a number to a tensor
        return Step(live[:1], None)
    exponent = float(node._saved_exponent)
    if exponent <= 0:
        return Step((), None)
    if exponent in (1, 2):
        return Step(live, half if exponent == 2 else plain)
    return Step(live, None)


def addcdiv(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    """Rule of a + b / c."""
    return Step(tuple(i for i in live if i < 2), plain)  # the third input is a denominator


def lerp(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    """Affine in both ends; a weight that depends on the image has to be a gate."""
    traceable = 2 not in live or is_gate(source_of(node, 2), reach)
    return Step(tuple(i for i in live if i < 2), plain if traceable else untraceable)
