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
    axis_of,
    half,
    names,
    plain,
    source_of,
    untraceable,
)

__all__ = ["addcdiv", "all_of", "bilinear", "deformed", "exponential", "lerp", "power", "product", "quotient"]

_MATRIX: Final = names("Bmm Mm")
_TRILINEAR: Final = names("Trilinear")
_MASKED: Final = SHAPE_ONLY | names("MaskedFill Mul Where")
_GUARDED: Final = SHAPE_ONLY | names("Add Clamp ClampMin Maximum")


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
    return Step(carriers, None, lambda node: _factor(getattr(node, saved)))


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
        data = node._saved_self
        count = data.shape[axis_of(node)] if hasattr(node, "_saved_dim") else data.numel()
        return [None if g is None else g / count for g in plain(node, grads)]

    return Step(live, pull)


def quotient(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    """Rule of a quotient: its denominator is a constant."""
    if getattr(node, "_saved_rounding_mode", None) is not None:
        return Step(live, untraceable)
    if 0 not in live or (1 in live and _is_softmax(source_of(node, 0), source_of(node, 1), reach)):
        return Step((), None)
    return Step((0,), None, lambda node: _reciprocal(node._saved_other))


def _reciprocal(divisor: Any) -> Tensor:
    divisor = _factor(divisor)
    if not (divisor.is_floating_point() or divisor.is_complex()):  # of integers it would be float32
        divisor = divisor.double()
    inverse: Tensor = divisor.reciprocal()
    return inverse


def _factor(value: Any) -> Tensor:
    """Conjugate of a factor, which a node has kept as a tensor or as a number."""
    if not isinstance(value, Tensor) or (value.dim() == 0 and value.device.type == "cpu"):
        number = value.item() if isinstance(value, Tensor) else value
        # A number that torch wrapped as a tensor would turn into float32 on the way.
        value = torch.tensor(number, dtype=torch.complex128 if isinstance(number, complex) else torch.float64)
    factor: Tensor = value.conj()
    return factor


def _is_softmax(above: Edge, below: Edge, reach: Mapping[Any, Reach]) -> bool:
    """Whether a quotient is exp(x) / sum(exp(x)): perhaps masked, or its denominator kept from 0."""
    shares = _behind(above, _MASKED, reach)
    total = _behind(below, _GUARDED, reach)
    by_norm = node_name(total) == "LinalgVectorNormBackward" and total._saved_ord == 1
    if node_name(shares) != "ExpBackward" or not (by_norm or node_name(total) == "SumBackward"):
        return False
    summed = _behind(source_of(total, 0), _MASKED, reach)
    twice = node_name(summed) == "ExpBackward" and source_of(summed, 0) == source_of(shares, 0)
    return summed is shares or twice


def _behind(edge: Edge, operations: frozenset[str], reach: Mapping[Any, Reach]) -> Any:
    """First node behind an input that is none of some operations with one image-dependent input."""
    node = edge[0]
    while node_name(node) in operations:
        live = [source for source, _ in node.next_functions if reach.get(source) == Reach.IMAGE]
        if len(live) != 1:
            break
        node = live[0]
    return node


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
        return Step(live[:1], None)  # the exponent alone: see `tape`
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
