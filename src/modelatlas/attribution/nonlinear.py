"""Element-wise nonlinearities in the modified backward pass.

Backward through y = f(z), the factor f'(z) is replaced by

    y / (z + eps * s(z)),    s(z) = -1 if z < 0 else +1,

Ancona et al. 2018, proposition 1; s(0) = +1 as in Bach et al. 2015, eq. 58, since sign(0) = 0 gives 0/0.
Deviation from the published code, which left saturated units out: clipping (ReLU6, hardtanh, clamp) follows
y/z at saturation too.

Each entry of `ELEMENTWISE` reads z and y from what a node of the autograd graph has saved for its own
backward pass. Where autograd saves the output alone and the input cannot be had from it exactly (sigmoid,
tanh, ...), z is what `record.Recorder` noted during the forward pass; without a note (the call sat inside a
composite function) the inverse function serves, as long as it is accurate.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import BackwardCFunction

from modelatlas.errors import AttributionError

__all__ = ["ELEMENTWISE", "OVERLOADS", "Point", "chain_factor", "node_name"]


class Point(NamedTuple):
    """Input z and output y of an element-wise nonlinearity; y as a function of z where it was not kept."""

    z: Tensor
    y: Tensor | Callable[[Tensor], Tensor]

    def output(self) -> Tensor:
        """Compute y, or give it where it was kept."""
        return self.y if isinstance(self.y, Tensor) else self.y(self.z)


_PIECE: Final = 1 << 17  # units a thread: four maps of 512 kB stay in caches; more and smaller cost calls
Recipe = Callable[[Any], Point]
_OF_LIBRARIES: Final = ("GeneratedBackwardFor", "BackwardHookFunction")


def node_name(node: Any) -> str:
    """Name of a node's operation without its overload's number: `MulBackward0` gives `MulBackward`.

    An `autograd.Function` of Python may have the name of one of torch's operations: it gets another one here.
    """
    name = str(node.name()).rpartition("::")[2].rstrip("0123456789")
    own = isinstance(node, BackwardCFunction) and not name.startswith(_OF_LIBRARIES)
    return f"{name} of Python" if own else name


def chain_factor(grad: Tensor, point: Point, epsilon: float, *, out: Tensor) -> Tensor:
    """Write grad * y / (z + eps * s(z)) into `out`, which may be `grad`; all of one shape.

    On a CPU in pieces that stay in the caches of the cores that share them: whole intermediate maps cost
    more memory traffic than arithmetic (12.6 M units of ReLU6, processor without AVX-512, one thread: 97 ms
    with whole maps, 40 ms in pieces, 20 ms autograd's own backward; two threads: 65, 24, 13 ms).
    """
    tensors = [out, grad, point.z, *([point.y] if isinstance(point.y, Tensor) else [])]
    factor = _rectified(epsilon) if point.y is point.z else _chained(point, epsilon)
    size, piece = out.numel(), _PIECE * torch.get_num_threads()
    if size <= piece or out.device.type != "cpu" or not _laid_out_alike(*tensors):
        _multiply(factor, torch.empty_like(point.z), *tensors)
    else:
        below = point.z.new_empty(piece)
        lines = (torch.split(tensor.as_strided((size,), (1,)), piece) for tensor in tensors)
        for line in zip(*lines, strict=True):
            _multiply(factor, below[: len(line[0])], *line)
    return out


Factor = Callable[..., Tensor]


def _multiply(factor: Factor, below: Tensor, out: Tensor, grad: Tensor, *values: Tensor) -> None:
    torch.mul(grad, factor(below, *values), out=out)


def _rectified(epsilon: float) -> Factor:
    """Factor of a rectifier from its output alone: z = y where it is positive, and y = 0 elsewhere."""

    def factor(below: Tensor, z: Tensor, y: Tensor) -> Tensor:
        return torch.div(y, torch.add(y, epsilon, out=below), out=below)

    return factor


def _chained(point: Point, epsilon: float) -> Factor:
    if point.z.is_complex():
        raise AttributionError(
            "epsilon-lrp has no rule for a nonlinearity of complex numbers: apply it to their real and "
            "imaginary parts, or to their magnitudes"
        )
    step = point.z.new_full((), epsilon)  # filled where it is: no copy to the device

    def factor(below: Tensor, z: Tensor, kept: Tensor | None = None) -> Tensor:
        y = kept if kept is not None else point.y(z)  # type: ignore[operator]
        torch.add(z, 0.0, out=below)  # turns -0 into +0, whose sign is +1
        torch.copysign(step, below, out=below).add_(z)
        return torch.div(y, below, out=below) if below.shape == y.shape else y / below

    return factor


def _laid_out_alike(first: Tensor, *others: Tensor) -> bool:
    """Whether all tensors fill their memory without gaps, in the same order and precision."""
    dense = first.is_contiguous() or (
        first.dim() == 4 and first.is_contiguous(memory_format=torch.channels_last)
    )
    layout = first.shape, first.stride(), first.dtype
    return dense and all((other.shape, other.stride(), other.dtype) == layout for other in others)


def _of_input(function: Callable[..., Tensor], *saved: str) -> Recipe:
    """Recipe for a node that saved its input: y is computed once more."""

    def recipe(node: Any) -> Point:
        settings = [getattr(node, f"_saved_{name}") for name in saved]
        return _again(node._saved_self, lambda z: function(z, *settings), settings)

    return recipe


def _again(z: Tensor, function: Callable[[Tensor], Tensor], settings: Iterable[Any]) -> Point:
    """Point whose y can be computed piece by piece, unless a setting is a tensor with a shape of its own."""
    whole = any(isinstance(value, Tensor) for value in settings)
    return Point(z, function(z) if whole else function)


def _relu(node: Any) -> Point:
    y = node._saved_result
    return Point(y, y)


def _leaky_in_place(node: Any) -> Point:
    y, slope = node._saved_result, node._saved_negative_slope
    return Point(torch.where(y > 0, y, y / slope), y) if slope else Point(y, y)


def _inverted(inverse: Callable[[Tensor, Any], Tensor], *, rate: int = 1) -> Recipe:
    """Recipe for a node that saved its output alone, where no note was taken of its input.

    The inverse of a function that saturates, as exp(-rate |z|), loses all digits there: refused beyond half
    of them.
    """

    def recipe(node: Any) -> Point:
        y = node._saved_result
        z = inverse(y, node)
        if bool((z.abs() < -math.log(torch.finfo(y.dtype).eps) / (2 * rate)).all()):
            return Point(z, y)
        raise AttributionError(
            f"epsilon-lrp cannot see the input of {node_name(node)}: it lies inside a composite function or "
            "was changed in place later. Call the function itself (torch.sigmoid, ...) in the model's forward"
        )

    return recipe


def _elu_inverse(y: Tensor, node: Any) -> Tensor:
    scale = node._saved_scale
    bent = torch.log1p(y / (node._saved_alpha * scale)) / node._saved_input_scale
    return torch.where(y > 0, y / scale, bent)


def _celu_inverse(y: Tensor, node: Any) -> Tensor:
    alpha = node._saved_alpha
    return torch.where(y > 0, y, torch.log1p(y / alpha) * alpha)


def _pow(node: Any) -> Point:
    return _again(node._saved_self, lambda z: z.pow(node._saved_exponent), [node._saved_exponent])


def _clamp(node: Any) -> Point:
    low, high = getattr(node, "_saved_min", None), getattr(node, "_saved_max", None)
    return _again(node._saved_self, lambda z: z.clamp(low, high), [low, high])


def _rrelu(node: Any) -> Point:
    if node._saved_training:
        raise AttributionError(
            "epsilon-lrp: rrelu with training=True draws its slopes at random; call it with False"
        )
    slope = (node._saved_lower + node._saved_upper) / 2
    return Point(node._saved_self, lambda z: F.leaky_relu(z, slope))


def _elu(z: Tensor, *settings: float | int) -> Tensor:
    return torch.ops.aten.elu(z, *settings)  # type: ignore[no-any-return]


def _gelu(z: Tensor, approximate: str) -> Tensor:
    return F.gelu(z, approximate=approximate)


def _words(text: str) -> list[str]:
    return text.split()


_UNARY: Final[Mapping[str, Callable[[Tensor], Tensor]]] = {
    name: getattr(torch, name)
    for name in _words(
        "abs acos acosh asin asinh atan atanh cos cosh erf erfc erfinv log log10 log1p log2 sin sinc sinh"
    )
}

ELEMENTWISE: Final[Mapping[str, Recipe]] = {
    **{f"{name.title().replace('_', '')}Backward": _of_input(f) for name, f in _UNARY.items()},
    "CeluBackward": _of_input(F.celu, "alpha"),
    "ClampBackward": _clamp,
    "ClampMaxBackward": _clamp,
    "ClampMinBackward": _clamp,
    "EluBackward": _of_input(_elu, "alpha", "scale", "input_scale"),
    "ExpBackward": lambda node: Point(node._saved_result.log(), node._saved_result),
    "Exp2Backward": lambda node: Point(node._saved_result.log2(), node._saved_result),
    "Expm1Backward": _inverted(lambda y, _: y.log1p()),
    "GeluBackward": _of_input(_gelu, "approximate"),
    "HardshrinkBackward": _of_input(F.hardshrink, "lambd"),
    "HardsigmoidBackward": _of_input(F.hardsigmoid),
    "HardswishBackward": _of_input(F.hardswish),
    "HardtanhBackward": _of_input(torch.clamp, "min_val", "max_val"),  # F.hardtanh: the same, slower
    "LeakyReluBackward": _of_input(F.leaky_relu, "negative_slope"),
    "LogSigmoidBackward": _of_input(F.logsigmoid),
    "LogitBackward": _of_input(torch.logit, "eps"),
    "MishBackward": _of_input(F.mish),
    "PowBackward": _pow,
    "PreluKernelBackward": _of_input(torch.ops.aten._prelu_kernel, "weight"),
    "ReluBackward": _relu,
    "RreluWithNoiseBackward": _rrelu,
    "SigmoidBackward": _inverted(lambda y, _: y.logit()),
    "SiluBackward": _of_input(F.silu),
    "SoftplusBackward": _of_input(F.softplus, "beta", "threshold"),
    "SoftshrinkBackward": _of_input(F.softshrink, "lambd"),
    "SqrtBackward": lambda node: Point(node._saved_result.square(), node._saved_result),
    "TanhBackward": _inverted(lambda y, _: y.atanh(), rate=2),
}
# Overloads that save something else than the first of their name.
OVERLOADS: Final[Mapping[str, Recipe]] = {
    "CeluBackward1": _inverted(_celu_inverse),
    "EluBackward1": _inverted(_elu_inverse),
    "LeakyReluBackward1": _leaky_in_place,
    "PowBackward2": lambda node: Point(node._saved_exponent, node._saved_result),
}
