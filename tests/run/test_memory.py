import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modelatlas.run.memory import automatic_batch, is_out_of_memory

CPU = torch.device("cpu")
sides = st.integers(1, 4096)


@given(height=sides, width=sides, more=st.integers(0, 512))
def test_a_batch_is_a_power_of_two_and_never_grows_with_the_input(height, width, more):
    batch = automatic_batch(height, width, CPU)
    assert batch in (1, 2, 4, 8, 16, 32)
    assert automatic_batch(height + more, width + more, CPU) <= batch
    assert automatic_batch(height, width, CPU) == batch


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_running_out_of_memory_is_recognised(error):
    assert is_out_of_memory(error)


def test_torch_itself_says_so_on_the_cpu():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    "error", [RuntimeError("shape mismatch"), ValueError("out of memory"), KeyError("x")]
)
def test_other_errors_are_not(error):
    assert not is_out_of_memory(error)
