"""What a GPU would wait for: once a layer is known, the engine reads no value back.

Seen on the CPU, at the level of torch's dispatcher: `_local_scalar_dense` is behind `.item()`, `float(t)` and
`bool(t)`. What a network reads in its own forward pass is its own.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from modelatlas.attribution import attribute, map_vectors
from modern import MODERN, around
from tiny import BLOCKS, images

WAITING = {"_local_scalar_dense", "nonzero", "is_nonzero", "equal"}
# Their own forward pass makes tensors from numbers or counts what it finds.
OWN = {"deformable (gather)", "deformable (grid_sample)", "shifted windows", "scattering"}


class Waits(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket._qualified_op_name.partition("::")[2]
        if name == "_local_scalar_dense" and not isinstance(args[0], torch.Tensor):
            return args[0]  # a number that torch wraps as a tensor on the host
        if name in WAITING:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def waits(call):
    with Waits() as mode:
        call()
    return mode.seen


@pytest.mark.parametrize("name", [*sorted(BLOCKS), *sorted(MODERN.keys() - OWN)])
def test_a_batch_waits_for_nothing(name):
    net, x = around((BLOCKS | MODERN)[name]()), images()
    attribute(net, x, layer="4")  # the layer is looked at once
    with torch.no_grad():
        own = waits(lambda: net(x))
    leaf = x.clone().requires_grad_()
    own += waits(lambda: torch.autograd.grad(net(leaf).sum(), leaf))

    def engine():
        maps = attribute(net, x, layer="4")
        for one in maps.values():
            map_vectors(one, grid=3)

    assert len(waits(engine)) <= len(own), waits(engine)
