"""What each operation of an autograd graph does in the modified backward pass.

A rule looks at one node of the graph and says through which of its inputs relevance goes on (`Step.inputs`)
and how (`Step.pull`). An input that no step goes through is a constant of the modified pass, and so is
everything that only feeds constants: it is never visited. method.md lists the constants; where their rules
stand here:

- softmax outputs and attention weights: `_constant`, `_attention`; exp(x) / sum(exp(x)): `products.quotient`;
- the scale of a normalisation; centring is linear and is propagated (Ali et al. 2022): `norms`; by hand
  `products.quotient` (a denominator), `_constant` (rsqrt, reciprocal), `products.power`;
- the gate of a product (Arras et al. 2017), else half to each factor (Achtibat et al. 2024): `products`,
  `gates`.

An operation in none of these tables is named in an error once relevance reaches it.
"""

from collections.abc import Mapping
from typing import Any, Final

import torch

from modelatlas.attribution.batchnorm import BATCH_NORMS
from modelatlas.attribution.nonlinear import ELEMENTWISE
from modelatlas.attribution.norms import batch_norm, degree_two, group_norm, layer_norm, rms_norm, var_mean
from modelatlas.attribution.products import (
    addcdiv,
    all_of,
    bilinear,
    deformed,
    exponential,
    lerp,
    power,
    product,
    quotient,
)
from modelatlas.attribution.steps import (
    RESAMPLE,
    SHAPE_ONLY,
    Grads,
    Reach,
    Rule,
    Step,
    axis_of,
    names,
    plain,
    untraceable,
)

__all__ = ["step"]

# Homogeneous of degree one, so that autograd's own backward keeps relevance: affine, picking, or a norm.
_PLAIN: Final = names(
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
_BILINEAR: Final = names(
    "Addbmm Addmm Addmv Addr Baddbmm Bmm ConvDepthwise2D ConvDepthwise3D Convolution "
    "ConvolutionOverrideable CudnnConvolution CudnnConvolutionTranspose Dot LinalgCross Linear Matmul "
    "MkldnnConvolution MkldnnLinear Mm Mv SlowConv2D SlowConv3D SlowConvDilated2D SlowConvDilated3D "
    "SlowConvTranspose2D SlowConvTranspose3D Trilinear Vdot"
)


_ATTENTION: Final = names(
    "ScaledDotProductCudnnAttention ScaledDotProductEfficientAttention ScaledDotProductFlashAttention "
    "ScaledDotProductFlashAttentionForCpu ScaledDotProductFusedAttentionOverrideable"
)


# torchvision.ops.deform_conv2d, as its versions register it.
_DEFORMED: Final = frozenset(
    {"DeformConv2dFunction>", "GeneratedBackwardFor_torchvision_deform_conv2d_defaultBackward"}
)


_CLAMPS: Final = names("Clamp ClampMax ClampMin")


# Their nodes keep nothing: only what the recorder noted.
_NOTED_ONLY: Final = names("Ceil Floor Frac Round Sgn Sign Tan Threshold Trunc")


def step(node: Any, reach: Mapping[Any, Reach], name: str) -> Step:
    """Rule for `node`, whose inputs are already known to depend on the image or not.

    An operation without a rule gets one that raises once relevance reaches it: inside a gate it does no harm.
    """
    live = tuple(i for i, (source, _) in enumerate(node.next_functions) if reach.get(source))
    if not live:
        return Step((), None)
    if name in SHAPE_ONLY or name in RESAMPLE or name in _PLAIN:
        return Step(live, plain)
    rule = _RULES.get(name)
    if rule is not None:
        return rule(node, live, reach)
    picks_bound = name in _CLAMPS and live != (0,)
    if picks_bound or (name == "AbsBackward" and node._saved_self.is_complex()):
        return Step(live, plain)
    if name in ELEMENTWISE or name in _NOTED_ONLY:
        return Step(live[:1], None)
    return Step(live, untraceable)


def _constant(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    return Step((), None)


def _first(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    """Only the first input carries values: the others say where to read them."""
    return Step((0,), plain) if 0 in live else Step((), None)


def _attention(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    return Step((2,), plain) if 2 in live else Step((), None)


def _hooked(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    """Where a module's full backward hook looks on: each input is passed on."""
    return Step(live, lambda node, grads: grads)


def _glu(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    def pull(node: Any, grads: Grads) -> Grads:
        axis = axis_of(node)
        _, gate = node._saved_self.chunk(2, axis)
        signal = grads[0] * gate.sigmoid()
        return (torch.cat((signal, torch.zeros_like(signal)), axis),)

    return Step((0,), pull)


_RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(_BILINEAR, bilinear),
    **dict.fromkeys(names("LogSoftmax MaskedSoftmax Reciprocal Rsqrt SafeSoftmax Softmax"), _constant),
    **dict.fromkeys(_ATTENTION, _attention),
    **dict.fromkeys(BATCH_NORMS, batch_norm),
    "BackwardHookFunctionBackward": _hooked,
    **dict.fromkeys(_DEFORMED, deformed),
    "AddcdivBackward": addcdiv,
    "AddcmulBackward": bilinear,
    "CudnnGridSamplerBackward": _first,
    "DivBackward": quotient,
    "ExpBackward": exponential,
    "FusedRmsNormBackward": rms_norm,
    "GluBackward": _glu,
    "GridSampler2DBackward": _first,
    "GridSampler2DCpuFallbackBackward": _first,
    "GridSampler3DBackward": _first,
    "LerpBackward": lerp,
    "MulBackward": product,
    "NativeGroupNormBackward": group_norm,
    "NativeLayerNormBackward": layer_norm,
    "PowBackward": power,
    "ProdBackward": all_of,
    "VarBackward": degree_two,
    "VarMeanBackward": var_mean,
}
