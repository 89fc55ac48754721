import pytest


@pytest.fixture
def one_thread():
    """Small tensors are slower with more threads, and resuming is exact only with the same number."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
