"""The factor y / (z + eps * s(z)): at zeros of both signs, in pieces and whole, in every layout."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelatlas.attribution import attribute
from modelatlas.attribution.nonlinear import Point, chain_factor
from tiny import images, network

LARGE = (3, 5, 64, 1200)  # several pieces, the last one cut short


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def literal(grad, z, y, epsilon):
    sign = torch.where(z < 0, -torch.ones_like(z), torch.ones_like(z))
    return grad * y / (z + epsilon * sign)


def draw(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("layout", ["contiguous", "channels last", "transposed", "expanded", "mixed"])
@pytest.mark.parametrize("in_place", [False, True])
def test_every_layout_gives_the_same(layout, in_place):
    z, grad = draw(LARGE, 0), draw(LARGE, 1)
    y = torch.sigmoid(z)
    expected = literal(grad, z, y, 1e-3)
    if layout in ("channels last", "mixed"):
        z = z.to(memory_format=torch.channels_last)
    if layout == "channels last":
        grad, y = (t.to(memory_format=torch.channels_last) for t in (grad, y))
    if layout == "transposed":
        grad, z, y = (t.transpose(2, 3).contiguous().transpose(2, 3) for t in (grad, z, y))
    if layout == "expanded":
        grad = torch.ones((), dtype=z.dtype).expand(LARGE)
        expected = literal(grad, z, y, 1e-3)
    out = torch.empty_like(y) if layout == "expanded" or not in_place else grad
    torch.testing.assert_close(chain_factor(grad, Point(z, y), 1e-3, out=out), expected, rtol=1e-12, atol=0)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("in_place", [False, True])
def test_an_output_that_was_not_kept_is_computed_in_pieces(in_place):
    z, grad = draw(LARGE, 0), draw(LARGE, 1)
    expected = literal(grad, z, torch.sigmoid(z), 1e-3)
    out = grad if in_place else torch.empty_like(grad)
    found = chain_factor(grad, Point(z, torch.sigmoid), 1e-3, out=out)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


@pytest.mark.usefixtures("threads")
def test_a_rectifier_needs_its_output_alone():
    z, grad = draw(LARGE, 0), draw(LARGE, 1)
    y = z.relu()
    found = chain_factor(grad, Point(y, y), 1e-2, out=torch.empty_like(grad))
    torch.testing.assert_close(found, literal(grad, z, y, 1e-2), rtol=1e-12, atol=1e-15)


@given(zero=st.sampled_from([0.0, -0.0]), epsilon=st.sampled_from([1e-8, 1e-4, 0.3]))
@settings(deadline=None, derandomize=True)
def test_both_zeros_count_as_positive(zero, epsilon):
    z = torch.tensor([zero], dtype=torch.float64)
    y = torch.sigmoid(z)
    found = chain_factor(torch.ones_like(z), Point(z, y), epsilon, out=torch.empty_like(z))
    assert float(found) == pytest.approx(0.5 / epsilon, rel=1e-12)


def test_saturation_keeps_relevance():
    # ReLU6 at z = 20: y / z = 6 / 20, where the derivative is 0
    net = torch.nn.Sequential(torch.nn.ReLU6()).double().eval()
    maps = attribute(net, torch.full((1, 1, 1, 1), 20.0, dtype=torch.float64), layer="0", epsilon=1e-12)
    assert float(maps["epsilon-lrp"]) == pytest.approx(6.0)
    assert float(maps["gradient-x-input"]) == 0


@pytest.mark.parametrize("scale", [1.0, 30.0, 800.0])
@pytest.mark.parametrize("function", [torch.sigmoid, torch.tanh, torch.nn.functional.elu])
def test_saturated_inputs_are_exact(function, scale):
    # Autograd keeps the output alone, from which the input cannot be had any more.
    net = network("conv")
    net.append(torch.nn.Identity())
    net[1].forward = lambda x: function(x * scale)
    z = (net[0](images()) * scale).detach()
    found = attribute(net.eval(), images(), layer="1", methods=("epsilon-lrp",))["epsilon-lrp"]
    leaf = images().requires_grad_()
    factor = literal(torch.ones_like(z), z, function(z), 1e-4) * scale
    (expected,) = torch.autograd.grad((net[0](leaf) * factor).sum(), leaf)
    torch.testing.assert_close(found, (images() * expected).detach(), rtol=1e-9, atol=1e-12)
