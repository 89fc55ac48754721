"""The exact relevance budget of epsilon-lrp: how a layer's total is accounted for.

With G the modified gradient with respect to a quantity,

    T = sum(x * g)  +  sum over additive constants b of b * G_b
                    +  sum over nonlinear units of y * G_y * eps / (|z| + eps)

(method.md). Additive constants are biases, shifts of norms, class tokens, position embeddings. To have their
share, every constant that the forward pass adds to something image-dependent is multiplied by one factor s =
1, and the modified gradient with respect to s is the sum of b * G_b. The share is thus found by another path
than the maps are, and a rule that loses relevance, or a constant that is none, shows as an error of the
budget.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from modelatlas.attribution.forward import run_to_layer, undisturbed
from modelatlas.attribution.nonlinear import Point
from modelatlas.attribution.recurrent import RECURRENT, by_torch, unrolled
from modelatlas.attribution.tape import modified_gradient

__all__ = ["RelevanceBudget", "relevance_budget"]


@dataclass(frozen=True)
class RelevanceBudget:
    """Terms of the identity, in the unit of T, summed over the batch.

    Attributes
    ----------
    total
        T, the sum over the layer's units.
    inputs
        Relevance that arrives at the pixels, sum(x * g): the sum of the epsilon-lrp map.
    constants
        Relevance of additive constants.
    absorbed
        Relevance taken by eps at the nonlinearities.
    magnitude
        Sum of the terms' absolute values, each unit's for itself: what the error is relative to.
    """

    total: float
    inputs: float
    constants: float
    absorbed: float
    magnitude: float

    @property
    def error(self) -> float:
        """|T - inputs - constants - absorbed| / magnitude, without unit; in float64 about 1e-15."""
        return abs(self.total - (self.inputs + self.constants + self.absorbed)) / self.magnitude


def relevance_budget(
    model: nn.Module, images: Tensor, *, layer: str, epsilon: float = 1e-4
) -> RelevanceBudget:
    """Account for the total of `layer`, in the precision of `images` (float64 to see errors below 1e-6).

    Raises
    ------
    AttributionError
        As `attribute`, except that a dead target is no error here.
    """
    with undisturbed(model, images.device):
        one = torch.ones((), dtype=images.dtype, device=images.device, requires_grad=True)
        factor = one * 1  # not a leaf: its node is a source of the modified pass
        tape = run_to_layer(model, images, layer, record=True, around=_ScaledConstants(factor))
        assert tape.recorder is not None
        absorbed: list[Tensor] = []

        def take(_: str, point: Point, grad: Tensor) -> None:
            absorbed.append(point.output() * grad * (epsilon / (point.z.abs() + epsilon)))

        at_images, at_factor = modified_gradient(
            tape.total,
            (tape.source, factor.grad_fn),
            epsilon=epsilon,
            recorder=tape.recorder,
            observe=take,
        )
    inputs = images.detach() * at_images if at_images is not None else torch.zeros(())
    constants = float(at_factor) if at_factor is not None else 0.0
    return RelevanceBudget(
        float(tape.total.detach()),
        float(inputs.sum()),
        constants,
        float(sum(part.sum() for part in absorbed)),
        float(tape.units.detach().abs().sum() + inputs.abs().sum())
        + abs(constants)
        + float(sum(part.abs().sum() for part in absorbed)),
    )


def _forms(names: str, *owners: Any) -> frozenset[Any]:
    found = (getattr(owner, name, None) for name in names.split() for owner in owners or (torch, Tensor))
    return frozenset(f for f in found if f is not None)


_EITHER: Final = _forms(
    "add add_ __add__ __radd__ __iadd__ sub sub_ subtract subtract_ __sub__ __rsub__ __isub__ rsub "
    "maximum minimum fmax fmin max min"
)
_ALONG: Final = _forms("max min")  # also of one tensor, along an axis
_FIRST: Final = _forms("addmm addmm_ baddbmm baddbmm_ addbmm addmv addr addcmul addcdiv")
_JOINED: Final = _forms("cat concat concatenate stack hstack vstack dstack column_stack")
_DENSE: Final = _forms("linear bilinear", F)
_BIASED: Final = _DENSE | _forms(
    "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d", torch, F
)
_SPATIAL_AXES: Final = {f.__name__: int(f.__name__[-2]) for f in _BIASED - _DENSE}
_NORMED: Final = _forms("layer_norm group_norm instance_norm", F)


class _ScaledConstants(TorchFunctionMode):
    """Multiplies by `factor` whatever constant is added to something that depends on the image."""

    def __init__(self, factor: Tensor) -> None:
        super().__init__()
        self.factor = factor

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run `func` with its additive constants scaled."""
        kwargs = dict(kwargs or {})
        if func in RECURRENT:
            with self:
                result = unrolled(func, args)
            return by_torch(func, args, kwargs) if result is None else result
        if func in _EITHER and len(args) > 1 and not (func in _ALONG and isinstance(args[1], int)):
            args = (*self._additive(args[:2]), *args[2:])
        elif func in _FIRST:
            args = (self._scaled(args[0]), *args[1:]) if any(map(_depends, args[1:])) else args
        elif func in _JOINED:
            args = (self._additive(args[0]), *args[1:])
        elif func in (torch.where, Tensor.where) and len(args) == 3:
            first, second = (0, 2) if func is Tensor.where else (1, 2)
            scaled = self._additive((args[first], args[second]))
            args = (scaled[0], args[1], scaled[1]) if func is Tensor.where else (args[0], *scaled)
        elif func is Tensor.__setitem__ or func in _forms("masked_fill masked_fill_"):
            args = (*args[:2], self._scaled(args[2])) if _depends(args[0]) else args
        elif func is F.pad and _depends(args[0]):
            return self._pad(func, args, kwargs)
        elif func in _BIASED:
            return self._biased(func, args, kwargs)
        elif func in _NORMED:
            return self._normed(func, args, kwargs)
        elif func is F.batch_norm:
            return self._batch_norm(func, args, kwargs)
        elif getattr(func, "__name__", "") == "deform_conv2d" and any(map(_depends, args[:4])):
            args = (*args[:4], self._scaled(args[4]), *args[5:])
        elif func is F.multi_head_attention_forward:
            bound = inspect.signature(func).bind(*args, **kwargs)
            if any(map(_depends, args[:3])):  # query, key, value: not among learned queries alone
                for name in ("in_proj_bias", "bias_k", "bias_v", "out_proj_bias"):
                    bound.arguments[name] = self._scaled(bound.arguments[name])
            return func(*bound.args, **bound.kwargs)
        return func(*args, **kwargs)

    def _scaled(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            constant = value.is_floating_point() and not value.requires_grad
            return value * self.factor.to(value.dtype) if constant else value
        return value * self.factor if isinstance(value, (int, float)) and value else value

    def _additive(self, values: Sequence[Any]) -> list[Any]:
        if not any(map(_depends, values)):
            return list(values)
        return [self._scaled(value) for value in values]

    def _pad(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = inspect.signature(func).bind(*args, **kwargs).arguments
        value = given.pop("value", None) or 0
        if math.isinf(value):  # so that a maximum never takes it: no share of anything
            return func(*args, **kwargs)
        made = func(**given)
        border = (
            func(**(given | {"input": torch.zeros_like(given["input"]), "value": 1.0})) if value else None
        )
        return made if border is None else made + self._scaled(border * value)

    def _biased(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        position = 3 if func is F.bilinear else 2  # after input (two for bilinear) and weight
        if len(args) > position:
            bias, args = args[position], (*args[:position], None, *args[position + 1 :])
        else:
            bias = kwargs.pop("bias", None)
        made = func(*args, **kwargs)
        if bias is None:
            return made
        axis = made.dim() - 1 if func in _DENSE else made.dim() - _SPATIAL_AXES[func.__name__] - 1
        return made + self._along(bias, made, axis)

    def _normed(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        values = inspect.signature(func).bind(*args, **kwargs).arguments
        bias = values.pop("bias", None)
        made = func(**values)
        if bias is None:
            return made
        axis = made.dim() - bias.dim() if func is F.layer_norm else 1
        return made + self._along(bias, made, axis)

    def _along(self, bias: Tensor, like: Tensor, axis: int) -> Tensor:
        scaled: Tensor = self._scaled(bias) if _depends(like) else bias
        return _shaped(scaled, like, axis)

    def _batch_norm(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        values = inspect.signature(func).bind(*args, **kwargs).arguments
        data = values["input"]
        weight, bias = values.get("weight"), values.get("bias")
        if values.get("training", False) or not _depends(data):
            return func(*args, **kwargs)
        scale = (values["running_var"] + values.get("eps", 1e-5)).rsqrt()
        scale = scale if weight is None else scale * weight
        shift = -values["running_mean"] * scale
        shift = shift if bias is None else shift + bias
        return data * _shaped(scale, data, 1) + self._along(shift, data, 1)


def _depends(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _shaped(vector: Tensor, like: Tensor, axis: int) -> Tensor:
    return vector.reshape(*vector.shape, *(1,) * (like.dim() - axis - vector.dim()))
