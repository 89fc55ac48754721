"""A run on a GPU: the same maps as on the CPU, and no waiting for the device within a batch."""

import numpy as np
import pytest
import torch

from chartable import chart_small, spec
from modelatlas._types import METHODS
from modelatlas.atlas import open_atlas
from modelatlas.attribution import attribute
from modelatlas.attribution.budget import relevance_budget
from modern import MODERN, around
from tiny import images

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
# Their forward passes make tensors on the host.
ON_THE_HOST = {
    "attention (bias)",
    "attention (rotary)",
    "deformable (gather)",
    "deformable (grid_sample)",
    "einsum of three",
    "indexing",
    "long convolution (fft)",
    "scattering",
    "shifted windows",
}


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_an_atlas_is_that_of_the_cpu(tmp_path, pictures, precision):
    names = ("relu", "gelu", "silu")
    for device in ("cpu", "cuda"):
        chosen = precision if device == "cuda" else "float32"
        chart_small(tmp_path / device, pictures, *names, images=40, device=device, precision=chosen)
    ours, theirs = (open_atlas(tmp_path / device) for device in ("cuda", "cpu"))
    for method in METHODS:
        apart = np.abs(ours.affinity(method) - theirs.affinity(method)).to_numpy().max()
        assert apart < (1e-3 if precision == "float32" else 0.02)
        for name in names:
            assert ours.maps(spec(name))[method].shape == theirs.maps(spec(name))[method].shape


@pytest.mark.parametrize("name", sorted(MODERN.keys() - ON_THE_HOST))
def test_every_block_keeps_its_relevance(name):
    net, x = around(MODERN[name]()), images()
    expected = attribute(net, x, layer="4")
    net, x = net.cuda(), x.cuda()
    assert relevance_budget(net, x, layer="4").error < 1e-12
    for method, found in attribute(net, x, layer="4").items():
        torch.testing.assert_close(found.cpu(), expected[method], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ["grouped", "layer norm over a permuted map", "encoder layer", "swiglu"])
def test_a_batch_waits_for_nothing(name):
    net, x = around(MODERN[name]()).cuda(), images().cuda()
    attribute(net, x, layer="4")  # the layer is looked at once
    torch.cuda.set_sync_debug_mode("error")
    try:
        attribute(net, x, layer="4")
    finally:
        torch.cuda.set_sync_debug_mode("default")
