"""What a model hides from autograd with `torch.no_grad`, where, and the way round.

The maps are gradients, so a part that runs under `torch.no_grad()` counts as a constant, which its author
hardly meant: a frozen backbone is the usual case. It does no harm where the values do not matter (the maximum
that a softmax subtracts, the dtype of a position embedding). So the place alone decides nothing: the
gradient is compared with the one that ignores `no_grad`.
"""

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

__all__ = ["HiddenPlaces", "IgnoreNoGrad", "through_no_grad"]

_NOT_THE_MODEL: Final = (
    str(Path(torch.__file__).parent),
    str(Path(__file__).parent),
    contextlib.__file__,
)


class HiddenPlaces(TorchFunctionMode):
    """Context that notes where image-dependent tensors are used with gradients turned off.

    Attributes
    ----------
    lines
        The first such lines, three at most, as "file:line in function".
    """

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run `func`, looking at where it is called."""
        result = func(*args, **(kwargs or {}))
        if len(self.lines) < 3 and not torch.is_grad_enabled() and isinstance(result, Tensor):
            values = [*args, *(kwargs or {}).values()]
            if result.is_floating_point() and any(isinstance(v, Tensor) and v.requires_grad for v in values):
                line = _line_of_the_model(sys._getframe(1))
                self.lines += [line] if line not in self.lines else []
        return result

    def __str__(self) -> str:
        """Give the lines in a row."""
        return ", ".join(self.lines)


class IgnoreNoGrad(TorchFunctionMode):
    """Context in which `torch.no_grad` and `torch.set_grad_enabled(False)` do nothing.

    `torch.inference_mode` cannot be ignored.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run `func` unless it turns gradients off."""
        if func is torch._C._set_grad_enabled and args == (False,):
            return None
        return func(*args, **(kwargs or {}))


def through_no_grad(model: nn.Module) -> nn.Module:
    """Wrap `model` so that `torch.no_grad` inside its forward pass is ignored; its layers are `model.<name>`.

    Weights are shared. The mode is taken over; `torch.inference_mode` and `.detach()` stay as they are.
    """
    return _ThroughNoGrad(model).train(model.training)


class _ThroughNoGrad(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():  # the caller wants none
            return self.model(*args, **kwargs)
        with IgnoreNoGrad():
            return self.model(*args, **kwargs)


def _line_of_the_model(frame: FrameType | None) -> str:
    while frame is not None and frame.f_code.co_filename.startswith(_NOT_THE_MODEL):
        frame = frame.f_back
    if frame is None:
        return "a place outside the model"
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
