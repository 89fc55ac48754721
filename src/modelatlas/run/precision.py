"""In which arithmetic, and in which order in memory, a network computes.

`bf16`: weights, images and maps stay float32; convolutions and products of matrices multiply bfloat16
numbers, as torch's autocast arranges it, forward and backward. `auto` takes it where the device has such
instructions and a check held: the first images' maps, by every method, agree with those in float32.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["AGREEMENT", "CHECKED", "agreement", "has_bfloat16", "memory_format", "multiplying"]

AGREEMENT: Final = 0.998
"""Least mean cosine of a method's maps in bfloat16 and in float32. An affinity is a mean cosine of two
models' maps, so maps that are this close move it by about .002, relatively."""
CHECKED: Final = 4
"""Images of the check."""


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 itself; elsewhere it is slower than float32."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        # Private: older torch has no public way, and oneDNN says yes without such instructions too.
        cpu = torch.cpu
        return bool(cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported())
    return False


@contextmanager
def multiplying(device: torch.device, precision: str) -> Iterator[None]:
    """Multiply in bfloat16 where `precision` is bf16."""
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        yield


def agreement(ours: Float[Tensor, "image row column"], exact: Float[Tensor, "image row column"]) -> float:
    """Mean cosine over images between two sets of unit maps; 0 for a map that is dead in one."""
    return float((ours * exact).flatten(1).sum(1).mean())


def memory_format(module: nn.Module, image: Float[Tensor, "1 channel height width"]) -> torch.memory_format:
    """Put a network's weights into the order that its convolutions like, and return it for its images.

    Channels last is that order (measured: ResNet-50 in bfloat16 a fifth faster), but code that reshapes with
    `view` may refuse it: then all stays as it was.
    """
    if not any(isinstance(layer, nn.Conv2d) and max(layer.kernel_size) > 1 for layer in module.modules()):
        return torch.contiguous_format
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    try:
        with torch.no_grad():
            module(image.to(memory_format=torch.channels_last))
    except Exception:  # whatever it raises; if it does so in any order, charting it will say so
        module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return torch.contiguous_format
    return torch.channels_last
