"""The exact relevance budget over randomly built networks, in float64."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from modelatlas.attribution import attribute
from modelatlas.attribution.budget import relevance_budget
from tiny import BLOCKS, CHANNELS, images, network, randomise


@st.composite
def networks(draw):
    blocks = draw(st.lists(st.sampled_from(sorted(BLOCKS)), min_size=1, max_size=6))
    return network("conv", *blocks, "conv", seed=draw(st.integers(0, 2**16)))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(net=networks(), seed=st.integers(0, 2**16), epsilon=st.sampled_from([1e-6, 1e-4, 1e-2, 0.5]))
def test_the_total_is_inputs_constants_and_what_eps_absorbs(net, seed, epsilon):
    budget = relevance_budget(net, images(seed=seed), layer=str(len(net) - 1), epsilon=epsilon)
    assume(budget.magnitude < 1e12)  # not exp(exp(x))
    assert budget.error < 1e-10  # a wrong rule shows above 1e-6


@pytest.mark.parametrize("block", sorted(BLOCKS))
def test_every_kind_of_operation_keeps_its_budget_and_the_map_is_its_first_term(block):
    net, x = network("conv", block, "conv", "relu", "conv"), images()
    budget = relevance_budget(net, x, layer="4")
    assert budget.error < 1e-14
    relevance = attribute(net, x, layer="4", methods=("epsilon-lrp",))["epsilon-lrp"]
    assert float(relevance.sum()) == pytest.approx(budget.inputs, rel=1e-9, abs=1e-9 * budget.magnitude)


def test_without_constants_and_kinks_all_relevance_arrives_at_the_pixels():
    net = nn.Sequential(nn.Conv2d(CHANNELS, 3, 3, bias=False), nn.AvgPool2d(2)).double()
    budget = relevance_budget(randomise(net), images(), layer="1")
    assert budget.constants == 0
    assert budget.absorbed == 0
    assert budget.inputs == pytest.approx(budget.total, rel=1e-12)


def test_one_sigmoid_by_hand():
    # y = sigmoid(w x + b), T = y: R_x = w x y / (z + eps), R_b = b y / (z + eps), eps takes y eps / (z + eps)
    net = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Sigmoid()).double().eval()
    with torch.no_grad():
        net[0].weight.fill_(2.0)
        net[0].bias.fill_(0.5)
    x = torch.full((1, 1, 1, 1), 0.75, dtype=torch.float64)
    y = 1 / (1 + torch.exp(torch.tensor(-2.0, dtype=torch.float64)))
    budget = relevance_budget(net, x, layer="1", epsilon=0.1)
    assert budget.total == pytest.approx(float(y), rel=1e-14)
    assert budget.inputs == pytest.approx(float(1.5 * y / 2.1), rel=1e-14)
    assert budget.constants == pytest.approx(float(0.5 * y / 2.1), rel=1e-14)
    assert budget.absorbed == pytest.approx(float(0.1 * y / 2.1), rel=1e-14)


def test_a_false_rule_shows_in_the_budget(monkeypatch):
    # The budget can fail: with the plain derivative in place of y / z it does.
    monkeypatch.setattr(
        "modelatlas.attribution.tape.chain_factor",
        lambda grad, point, epsilon, *, out: grad * point.y * (1 - point.y),
    )
    budget = relevance_budget(network("conv", "sigmoid", "conv"), images(), layer="2")
    assert budget.error > 1e-3
