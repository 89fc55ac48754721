"""The same machine, the same numbers: threads, kernels and precision are pinned while maps are computed."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from modelatlas.attribution import same_draws
from modelatlas.errors import InputError

__all__ = ["choose_device", "pinned", "seeded"]


def choose_device(asked: str) -> torch.device:
    """Find the device of that name; `auto` is a CUDA device where there is one, else the CPU.

    Raises
    ------
    InputError
        No such device here.
    """
    if asked == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(asked)
        # Without a context on the device: the workers will have theirs.
        if device.type == "cuda" and torch.cuda.is_available():
            if (device.index or 0) >= torch.cuda.device_count():
                raise RuntimeError(f"there are {torch.cuda.device_count()} CUDA devices")
        else:
            torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"device {asked!r} cannot be used here ({reason}): take auto or cpu") from error
    return device


@contextmanager
def seeded(device: torch.device) -> Iterator[None]:
    """Let a network that draws in its forward pass draw the same each time; all is put back at the end."""
    with same_draws(device):
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002 - what networks draw from
        yield


@contextmanager
def pinned(threads: int | None) -> Iterator[None]:
    """Fix the number of threads and the choice of kernels, forbid TF32; all is put back at the end."""
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = (torch.get_num_threads(), cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32)
    products_before = products.allow_tf32
    if threads is not None:
        torch.set_num_threads(threads)
    cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = True, False, False
    products.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = before[1:]
        products.allow_tf32 = products_before
