"""How many images fit in a pass, and how running out of memory looks."""

import gc
import os
from typing import Final

import torch

from modelatlas.store import SHARD

__all__ = ["automatic_batch", "is_out_of_memory", "release_memory"]

_REFERENCE_PIXELS: Final = 8 * 256 * 256
"""Eight images of 256 x 256: about 2 GB for a ResNet-50 and its tape, in float32."""
_REFERENCE_BYTES: Final = 8 << 30
_SIGNS: Final = (
    "out of memory",
    "defaultcpuallocator",
    "not enough memory",
    "cannot allocate memory",
    "bad_alloc",
    "status_alloc_failed",  # of cuBLAS and cuDNN
    "unable to find an engine to execute",  # cuDNN's, where its workspace does not fit
)


def automatic_batch(height: int, width: int, device: torch.device) -> int:
    """Choose a power of two of images a pass, 1 to 32, from the input's size and the memory of the machine.

    It looks at the memory that is built in, not at what is free at the moment: the same machine chooses the
    same.
    """
    available = (
        torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else _machine_bytes()
    )
    images = _REFERENCE_PIXELS * min(1.0 if device.type == "cpu" else 8.0, available / _REFERENCE_BYTES)
    images /= height * width
    return next((size for size in (32, 16, 8, 4, 2) if size <= min(images, SHARD)), 1)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out; torch says so in a plain RuntimeError on the CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def release_memory() -> None:
    """Give back what nobody holds any more: cycles of Python, and the caching allocator's blocks."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _machine_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return _REFERENCE_BYTES
