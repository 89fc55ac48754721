"""What each operation of an autograd graph does in the modified backward pass.

A rule looks at one node of the graph and says through which of its inputs relevance goes on (`Step.inputs`)
and how (`Step.pull`). An input that no step goes through is a constant of the modified pass, and so is
everything that only feeds constants: it is never visited. method.md lists the constants; where their rules
stand here:

- softmax outputs, attention weights, also exp(x) / sum(exp(x)) by hand: `_constant`, `_attention`,
  `_quotient`;
- the scale of a normalisation; centring is linear and is propagated (Ali et al. 2022): `_layer_norm` and the
  like,
  by hand `_quotient` (a denominator), `_constant` (rsqrt, reciprocal), `_pow`;
- the gate of a product, else half to each factor (Arras et al. 2017; Achtibat et al. 2024): `_product`.
  x * h(x) with h element-wise (SiLU, Mish, GELU written by hand) is one element-wise nonlinearity.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from math import isclose, isnan, nan
from typing import Any, Final, NamedTuple, NoReturn

import torch
from torch import Tensor

from modelatlas.attribution.batchnorm import per_channel
from modelatlas.attribution.nonlinear import ELEMENTWISE, node_name
from modelatlas.errors import AttributionError

__all__ = ["SHAPE_ONLY", "Pull", "Reach", "Step", "step", "untraceable"]

Edge = tuple[Any, int]  # a node and which of its outputs
Grads = Sequence[Tensor | None]
Pull = Callable[[Any, Grads], Grads]


class Reach(IntEnum):
    """What the values of a node depend on, as the modified pass sees it."""

    NOTHING = 0
    CONSTANTS = 1  # additive constants alone, where `budget` asks for their share
    IMAGE = 2


class Step(NamedTuple):
    """How the modified pass crosses one node."""

    inputs: tuple[int, ...]  # positions in `node.next_functions`
    pull: Pull | None  # gradients of the outputs -> of all inputs, by position; None: see `factor`
    factor: Callable[[Any], Tensor] | None = None  # what the gradient is multiplied by; None too: y / z


def _names(text: str) -> frozenset[str]:
    return frozenset(f"{name}Backward" for name in text.split())


SHAPE_ONLY: Final = _names(
    "Alias AsStrided Chunk Clone Diagonal Expand Flip Lift LiftFresh NarrowCopy Permute PinMemory Repeat "
    "ReshapeAlias ReshapeCopy Roll Rot90 Select Slice Split SplitWithSizes Squeeze T ToCopy Transpose "
    "Unbind Unfold UnsafeSplit UnsafeSplitWithSizes UnsafeView Unsqueeze View PixelShuffle PixelUnshuffle "
    "ChannelShuffle NanToNum"
)
_RESAMPLE: Final = _names(
    "UpsampleBicubic2D UpsampleBicubic2DAa UpsampleBilinear2D UpsampleBilinear2DAa UpsampleLanczos2DAa "
    "UpsampleLinear1D UpsampleNearest1D UpsampleNearest2D UpsampleNearest3D UpsampleNearestExact1D "
    "UpsampleNearestExact2D UpsampleNearestExact3D UpsampleTrilinear3D ConstantPadNd ReflectionPad1D "
    "ReflectionPad2D ReflectionPad3D ReplicationPad1D ReplicationPad2D ReplicationPad3D Gather Index "
    "IndexSelect UnsafeIndex Take MaskedSelect"
)
# Homogeneous of degree one, so that autograd's own backward keeps relevance: affine, picking, or a norm.
_PLAIN: Final = _names(
    "Add AdaptiveAvgPool2D AdaptiveAvgPool3D AdaptiveMaxPool2D AdaptiveMaxPool3D Amax Amin Aminmax "
    "AvgPool2D AvgPool3D Cat Cdist Col2Im Complex Conj ConjPhysical Cummax Cummin Cumsum DiagEmbed FftC2C "
    "FftC2R FftR2C Fill Fmax Fmin FractionalMaxPool2D FractionalMaxPool3D Im2Col IndexAdd IndexCopy "
    "Hypot IndexFill IndexPut IndexPutImpl IndexReduce Kthvalue LinalgVectorNorm MaskedFill MaskedScatter "
    "Max MaxPool2D MaxPool2DWithIndices MaxPool3DWithIndices MaxUnpool2D MaxUnpool3D Maximum Mean Median "
    "Min Minimum MkldnnAdaptiveAvgPool2D MkldnnMaxPool2D Mode Nansum NativeDropout Neg NegView Norm Put "
    "Rsub Scatter ScatterAdd SelectScatter SliceScatter DiagonalScatter AsStridedScatter Sort Stack Std "
    "StdMean Sub Sum ToMkldnn ToDense Topk Trace Tril Triu ViewAsComplex ViewAsReal Where Zero"
) | {"CopyBackwards", "CopySlices"}
# Linear in each factor alone.
_BILINEAR: Final = _names(
    "Addbmm Addmm Addmv Addr Baddbmm Bmm ConvDepthwise2D ConvDepthwise3D Convolution "
    "ConvolutionOverrideable CudnnConvolution CudnnConvolutionTranspose Dot LinalgCross Linear Matmul "
    "MkldnnConvolution MkldnnLinear Mm Mv SlowConv2D SlowConv3D SlowConvDilated2D SlowConvDilated3D "
    "SlowConvTranspose2D SlowConvTranspose3D Vdot"
)
_MATRIX: Final = _names("Bmm Mm")
_ATTENTION: Final = _names(
    "ScaledDotProductCudnnAttention ScaledDotProductEfficientAttention ScaledDotProductFlashAttention "
    "ScaledDotProductFlashAttentionForCpu ScaledDotProductFusedAttentionOverrideable"
)
# Their nodes keep nothing: only what the recorder noted.
_NOTED_ONLY: Final = _names("Ceil Floor Frac Round Sgn Sign Tan Threshold Trunc")
_GATES: Final = frozenset({"SigmoidBackward", "HardsigmoidBackward"})
_S_SHAPED: Final = frozenset({"TanhBackward", "ErfBackward"})
_CLAMPS: Final = frozenset({"HardtanhBackward", "ClampBackward"})
_SHIFTS: Final = frozenset({"AddBackward", "SubBackward", "RsubBackward"})
_SCALES: Final = frozenset({"MulBackward", "DivBackward", "NegBackward"})


def step(node: Any, reach: Mapping[Any, Reach], name: str) -> Step:
    """Rule for `node`, whose inputs are already known to depend on the image or not.

    An operation without a rule gets one that raises once relevance reaches it: inside a gate it does no harm.
    """
    live = tuple(i for i, (source, _) in enumerate(node.next_functions) if reach.get(source))
    if not live:
        return Step((), None)
    if name in SHAPE_ONLY or name in _RESAMPLE or name in _PLAIN:
        return Step(live, _plain)
    rule = _RULES.get(name)
    if rule is not None:
        return rule(node, live, reach)
    if name in ELEMENTWISE or name in _NOTED_ONLY:
        return Step(live[:1], None)
    return Step(live, untraceable)


def untraceable(node: Any, grads: Grads) -> NoReturn:
    """Refuse to cross a node.

    Raises
    ------
    AttributionError
        Always; it names the operation.
    """
    raise AttributionError(
        f"epsilon-lrp cannot trace the operation {node.name()}: ask for the gradient methods alone, choose a "
        "layer before it, or write it with operations of torch that have a rule"
    )


def _plain(node: Any, grads: Grads) -> Grads:
    found = node(*grads)
    return found if isinstance(found, tuple) else (found,)


def _scaled(factor: float) -> Pull:
    def pull(node: Any, grads: Grads) -> Grads:
        return [None if grad is None else grad * factor for grad in _plain(node, grads)]

    return pull


_half: Final = _scaled(0.5)


def _constant(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    return Step((), None)


def _source(node: Any, position: int) -> Edge:
    edge: Edge = node.next_functions[position]
    return edge


def _through_views(edge: Edge) -> Any:
    """Node that made the values behind views of them."""
    node = edge[0]
    while node_name(node) in SHAPE_ONLY:
        node = node.next_functions[0][0]
    return node


def _is_gate(edge: Edge, reach: Mapping[Any, Reach]) -> bool:
    """Whether an input is a sigmoid or hard sigmoid, perhaps reshaped, scaled or shifted by constants.

    By hand these are 1 + tanh(u) = 2 sigmoid(2u) and 1 + erf(u), shifted by a number so that a signal
    tanh(c), as in an LSTM, does not count; and a value clamped to [0, c] and divided by c, so that a ReLU6
    does not.
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
            return False
        if name in _SCALES:
            scale *= _constant_factor(node, live[0])
        elif name in _SHIFTS:
            shifted = True
        elif name == "NativeBatchNormBackward" and not node._saved_training:
            scale = nan
        elif name not in SHAPE_ONLY and name not in _RESAMPLE:
            return False
        node = _source(node, live[0])[0]


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


def _is_function_of(edge: Edge, argument: Edge, reach: Mapping[Any, Reach]) -> bool:
    """Whether an input is an element-wise function of `argument` and of constants alone."""
    todo, steps = [edge], 0
    while todo:
        here = todo.pop()
        if here == argument:
            continue
        name = node_name(here[0])
        if (name not in ELEMENTWISE and name not in _SHIFTS and name not in _SCALES) or steps > 16:
            return False
        todo.extend(source for source in here[0].next_functions if reach.get(source[0], 0) == Reach.IMAGE)
        steps += 1
    return True


def _carriers(node: Any, factors: tuple[int, ...], reach: Mapping[Any, Reach]) -> tuple[int, ...]:
    """Those of a product's factors that relevance goes through: not gates, not what is constant here."""
    carriers = tuple(i for i in factors if reach[_source(node, i)[0]] == Reach.IMAGE) or factors
    signals = tuple(i for i in carriers if not _is_gate(_source(node, i), reach))
    return signals or carriers


def _product(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    if len(live) == 2:
        first, second = _source(node, 0), _source(node, 1)
        for mine, other, position in ((first, second, 0), (second, first, 1)):
            if mine != other and reach[other[0]] == Reach.IMAGE and _is_function_of(other, mine, reach):
                return Step((position,), None)
    carriers = _carriers(node, live, reach)
    if len(carriers) == 2:
        return Step(carriers, _half)
    saved = "_saved_other" if carriers == (0,) else "_saved_self"
    return Step(carriers, None, lambda node: getattr(node, saved).conj())


def _bilinear(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    name = node_name(node)
    places = (1, 2) if name.startswith(("Add", "Badd")) else (0, 1)  # before or after what is added
    factors = tuple(i for i in live if i in places)
    carriers = _carriers(node, factors, reach) if factors else ()
    inputs = tuple(i for i in live if i not in factors or i in carriers)
    if len(carriers) < 2:
        return Step(inputs, _one_factor(carriers[0]) if name in _MATRIX and len(factors) == 2 else _plain)

    def pull(node: Any, grads: Grads) -> Grads:
        found = _plain(node, grads)
        return [g * 0.5 if i in factors and g is not None else g for i, g in enumerate(found)]

    return Step(inputs, pull)


def _one_factor(position: int) -> Pull:
    """Backward of a matrix product to one factor; autograd's would compute both."""

    def pull(node: Any, grads: Grads) -> Grads:
        if position == 0:
            return (grads[0] @ node._saved_mat2.mH, None)
        return (None, node._saved_self.mH @ grads[0])

    return pull


def _quotient(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
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
    above = _through_views(_source(quotient, 0))
    below = _through_views(_source(quotient, 1))
    if node_name(above) != "ExpBackward" or node_name(below) != "SumBackward":
        return False
    return _through_views(_source(below, 0)) is above


def _exponential(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    argument = _through_views(_source(node, 0))
    if node_name(argument) == "LogSoftmaxBackward":
        return Step((), None)
    if node_name(argument) == "SubBackward":
        subtracted = _source(argument, 1)[0]
        if subtracted is not None and node_name(subtracted) == "LogsumexpBackward":
            return Step((), None)
    return Step(live, None)


def _pow(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    if node.name() != "PowBackward0":  # of two tensors, or of a number to a tensor
        return Step(live[:1], None)
    exponent = float(node._saved_exponent)
    if exponent <= 0:
        return Step((), None)
    if exponent in (1, 2):
        return Step(live, _half if exponent == 2 else _plain)
    return Step(live, None)


def _first(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    """Only the first input carries values: the others say where to read them."""
    return Step((0,), _plain) if 0 in live else Step((), None)


def _attention(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    return Step((2,), _plain) if 2 in live else Step((), None)


def _addcdiv(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    return Step(tuple(i for i in live if i < 2), _plain)  # the third input is a denominator


def _lerp(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    """Affine in both ends; a weight that depends on the image has to be a gate."""
    traceable = 2 not in live or _is_gate(_source(node, 2), reach)
    return Step(tuple(i for i in live if i < 2), _plain if traceable else untraceable)


def _var_mean(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    def pull(node: Any, grads: Grads) -> Grads:
        variance, mean = grads
        return _plain(node, (None if variance is None else variance * 0.5, mean))

    return Step(live, pull)


def _degree_two(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    return Step(live, _half)


def _layer_norm(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    def pull(node: Any, grads: Grads) -> Grads:
        grad, axes = grads[0], tuple(range(-len(node._saved_normalized_shape), 0))
        assert grad is not None
        if node._saved_weight is not None:
            grad = grad * node._saved_weight
        grad = grad * node._saved_result2
        return (grad - grad.mean(axes, keepdim=True),)

    return Step((0,), pull)


def _rms_norm(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    def pull(node: Any, grads: Grads) -> Grads:
        grad = grads[0]
        assert grad is not None
        if node._saved_weight is not None:
            grad = grad * node._saved_weight
        return (grad * node._saved_result1,)

    return Step((0,), pull)


def _group_norm(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    def pull(node: Any, grads: Grads) -> Grads:
        grad, images, groups = grads[0], node._saved_N, node._saved_group
        assert grad is not None
        if node._saved_weight is not None:
            grad = grad * per_channel(node._saved_weight, grad)
        blocks = grad.reshape(images, groups, -1) * node._saved_result2.view(images, groups, 1)
        return ((blocks - blocks.mean(2, keepdim=True)).view(grad.shape),)

    return Step((0,), pull)


def _batch_norm(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    """Affine with running statistics; with those of its input (instance norm), the scale is a constant."""
    if not getattr(node, "_saved_training", True):
        return Step((0,), None, lambda node: _gain(node, (node._saved_running_var + node._saved_eps).rsqrt()))

    def pull(node: Any, grads: Grads) -> Grads:
        grad = grads[0]
        assert grad is not None
        grad = grad * _gain(node, node._saved_result2)
        return (grad - grad.mean((0, *range(2, grad.dim())), keepdim=True),)

    return Step((0,), pull)


def _gain(node: Any, scale: Tensor) -> Tensor:
    """Scale and weight of a batch norm together, shaped to multiply its input."""
    weight = node._saved_weight
    return per_channel(scale if weight is None else scale * weight, node._saved_input)


def _glu(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    def pull(node: Any, grads: Grads) -> Grads:
        _, gate = node._saved_self.chunk(2, node._saved_dim)
        signal = grads[0] * gate.sigmoid()
        return (torch.cat((signal, torch.zeros_like(signal)), node._saved_dim),)

    return Step((0,), pull)


Rule = Callable[[Any, tuple[int, ...], Mapping[Any, Reach]], Step]
_RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(_BILINEAR, _bilinear),
    **dict.fromkeys(_names("LogSoftmax MaskedSoftmax Reciprocal Rsqrt SafeSoftmax Softmax"), _constant),
    **dict.fromkeys(_ATTENTION, _attention),
    "AddcdivBackward": _addcdiv,
    "AddcmulBackward": _bilinear,
    "CudnnBatchNormBackward": _batch_norm,
    "CudnnGridSamplerBackward": _first,
    "DivBackward": _quotient,
    "ExpBackward": _exponential,
    "FusedRmsNormBackward": _rms_norm,
    "GluBackward": _glu,
    "GridSampler2DBackward": _first,
    "GridSampler2DCpuFallbackBackward": _first,
    "GridSampler3DBackward": _first,
    "LerpBackward": _lerp,
    "MulBackward": _product,
    "NativeBatchNormBackward": _batch_norm,
    "NativeGroupNormBackward": _group_norm,
    "NativeLayerNormBackward": _layer_norm,
    "PowBackward": _pow,
    "VarBackward": _degree_two,
    "VarMeanBackward": _var_mean,
}
