"""Models made faster by a compiler, run as they were written.

What `torch.compile` makes of a module shows in the graph as a single node. While a model is attributed, it
runs eagerly instead: same weights, same values to rounding. TorchScript's functions inside a model run
operation by operation; its modules cannot be looked into.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn
from torch.jit._fuser import optimized_execution

from modelatlas.errors import AttributionError

__all__ = ["refuse_scripted", "uncompiled"]

_lock = threading.Lock()
_holders: list[ExitStack] = []  # one entry a thread inside, all of them the stack that sets the switches back


@contextmanager
def uncompiled() -> Iterator[None]:
    """Run compiled modules and functions eagerly, and scripted functions without fusing them.

    The switches are global: threads share them, and the last one to leave sets them back.
    """
    with _lock:
        _holders.append(_holders[0] if _holders else _switched())
    try:
        yield
    finally:
        with _lock:
            switches = _holders.pop()
            if not _holders:
                switches.close()


def _switched() -> ExitStack:
    switches = ExitStack()
    switches.enter_context(optimized_execution(False))
    if "torch._dynamo.eval_frame" in sys.modules:  # else nothing is compiled, and the import takes seconds
        switches.enter_context(torch.compiler.set_stance("force_eager"))
    return switches


def refuse_scripted(model: nn.Module) -> None:
    """Refuse TorchScript inside a model.

    Raises
    ------
    AttributionError
        A part of the model is a TorchScript module; it is named.
    """
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise AttributionError(
                f"the part {name!r} is a TorchScript module, which hides its operations from epsilon-lrp: "
                "put the module there that it was made from, or ask for the gradient methods alone"
            )
