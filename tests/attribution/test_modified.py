"""The modified gradient against its literal twin, and operations by hand against fused ones."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from modelatlas.attribution import attribute
from modelatlas.errors import AttributionError
from oracles.modified_gradient import modified_gradient
from tiny import BLOCKS, images, network

NOT_IN_THE_ORACLE = {
    "power of two",
    "logsumexp",
    "log softmax",
    "first power",
    "pad with a constant",
    "variance and mean at once",
    "lerp",
    "addcdiv",
    "multi-head attention",
    "sigmoid on a view",
    "augmented assignment",
    "relu on a view",
}
IN_THE_ORACLE = sorted(set(BLOCKS) - NOT_IN_THE_ORACLE)


def relevance(net, x, **options):
    return attribute(net, x, layer=str(len(net) - 1), methods=("epsilon-lrp",), **options)["epsilon-lrp"]


def assert_close(found, expected, tolerance=1e-11):
    assert float((found - expected).abs().max()) <= tolerance * float(expected.abs().max())


@pytest.mark.parametrize("block", IN_THE_ORACLE)
def test_every_kind_of_operation_equals_its_literal_twin(block):
    net, x = network("conv", block, "conv", "relu", "conv"), images()
    assert_close(relevance(net, x), x * modified_gradient(net, x))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    blocks=st.lists(st.sampled_from(IN_THE_ORACLE), min_size=1, max_size=6),
    seed=st.integers(0, 2**16),
    epsilon=st.sampled_from([1e-6, 1e-4, 1e-2]),
)
def test_random_networks_equal_their_literal_twin(blocks, seed, epsilon):
    net, x = network("conv", *blocks, "conv", seed=seed), images(seed=seed)
    expected = x * modified_gradient(net, x, epsilon=epsilon)
    assume(float(expected.abs().max()) < 1e12)  # not exp(exp(x))
    assert_close(relevance(net, x, epsilon=epsilon), expected, 1e-9)


@pytest.mark.parametrize(
    ("by_hand", "fused"),
    [
        ("gelu by hand", "gelu"),
        ("silu by hand", "silu"),
        ("mish by hand", "mish"),
        ("hardswish by hand", "hardswish"),
        ("squeeze-excite (by hand)", "squeeze-excite (hard)"),
        ("layer norm by hand", "layer norm"),
        ("attention by hand", "attention"),
        ("relu as method", "relu"),
    ],
)
def test_what_is_written_by_hand_equals_the_fused_operation(by_hand, fused):
    # They differ by eps: at a product written out, eps stands beside another factor.
    a, b = (network("conv", block, "conv", "relu", "conv") for block in (by_hand, fused))
    b.load_state_dict(dict(zip(b.state_dict(), a.state_dict().values(), strict=True)))
    x = images()
    assert_close(relevance(a, x, epsilon=1e-9), relevance(b, x, epsilon=1e-9), 1e-5)


def test_in_place_and_out_of_place_agree_on_views():
    a, b = network("conv", "relu on a view", "conv"), network("conv", "relu", "conv")
    x = images()
    with torch.no_grad():
        b[2].weight[:, 2:] = 0
        a[2].weight[:, 2:] = 0
    assert_close(relevance(a, x), relevance(b, x))


@pytest.mark.parametrize(
    "block", ["relu", "leaky relu", "prelu", "max pool", "batch norm", "skip", "branches", "where", "sort"]
)
def test_small_eps_keeps_rectifier_networks_at_the_plain_gradient(block):
    net, x = network("conv", block, "conv", "relu", "conv"), images()
    maps = attribute(net, x, layer="4", epsilon=1e-12)
    assert_close(maps["epsilon-lrp"], maps["gradient-x-input"], 1e-6)


def test_an_operation_without_a_rule_does_no_harm_inside_a_gate():
    net = network("conv", "conv").append(torch.nn.Identity().eval())
    net[2].forward = lambda x: x * torch.sigmoid(torch.cumprod(x, 1))
    gate = torch.sigmoid(torch.cumprod(net[:2](images()), 1)).detach()
    found = relevance(net, images())
    net[2].forward = lambda x: x * gate
    assert_close(found, relevance(net, images()))


def test_an_unknown_operation_is_named_and_only_epsilon_lrp_minds():
    net = network("conv", "conv")
    net.append(torch.nn.Identity().eval())
    net[2].forward = lambda x: torch.cumprod(x, 1)
    x = images()
    assert attribute(net, x, layer="2", methods=("saliency",))["saliency"].abs().sum() > 0
    with pytest.raises(AttributionError, match="CumprodBackward"):
        attribute(net, x, layer="2")
