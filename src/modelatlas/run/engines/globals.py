"""What one model may change for all that come after it in the same process.

Default precision and device, switches of torch, hooks for all modules, functions of torch that were replaced,
numpy's errors. Compared is only what was there before: what a library adds to torch is its own.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules import module as modules

__all__ = ["Globals"]


class Globals:
    """The state of the process when this was made."""

    def __init__(self) -> None:
        self._before = _state()

    def changed(self) -> list[str]:
        """Name what is another one now."""
        now = _state()
        return [name for name, value in self._before.items() if _differs(value, now.get(name))]


def _differs(before: Any, now: Any) -> bool:
    return before is not now and (callable(before) or callable(now) or bool(before != now))


def _state() -> dict[str, Any]:
    state: dict[str, Any] = {
        "the default precision": torch.get_default_dtype(),
        "the default device": str(torch.get_default_device()),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "oneDNN's switch": torch.backends.mkldnn.enabled,
        "cuDNN's switch": torch.backends.cudnn.enabled,
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "precision of products": torch.get_float32_matmul_precision(),
        "numpy's errors": np.geterr(),
    }
    for name, value in vars(modules).items():
        if name.startswith("_global_") and isinstance(value, Mapping):
            state[f"module.{name}"] = tuple(value)
    for owner in (torch, torch.nn.functional, torch.Tensor, nn.Module):
        for name, value in vars(owner).items():
            if callable(value):
                state[f"{owner.__name__}.{name}"] = value
    return state
