"""Blocks of modern architectures: autograd's gradients, the exact relevance budget, two ways that agree."""

import pytest
import torch
from torch import nn

from modelatlas.attribution import attribute
from modelatlas.attribution.budget import relevance_budget
from modern import MODERN, Deformable, HandLSTM, StateSpace, around, by_gather, by_grid_sample
from oracles.modified_gradient import modified_gradient
from tiny import CHANNELS, Tokens, images


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", MODERN)
def test_the_budget_is_exact_and_the_gradient_autograds(name, seed):
    net, x = around(MODERN[name](), seed=seed), images(seed=seed + 1)
    budget = relevance_budget(net, x, layer="4")
    assert budget.error < 1e-12
    maps = attribute(net, x, layer="4")
    # Not through the same operations: for the constants' share the budget takes biases and norms apart.
    assert float(maps["epsilon-lrp"].sum()) == pytest.approx(budget.inputs, abs=1e-9 * budget.magnitude)
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(net(leaf).sum(), leaf)
    torch.testing.assert_close(maps["gradient-x-input"], x * gradient, rtol=1e-10, atol=1e-12)


NOT_IN_THE_ORACLE = {
    "attention (best five)",
    "attention (rotary)",
    "cross-attention",
    "decoder layer",
    "deformable (gather)",
    "deformable (grid_sample)",
    "einsum of three",
    "encoder layer",
    "gru cell",
    "indexing",
    "local response norm",
    "long convolution (fft)",
    "lstm cell",
    "product along an axis",
    "rnn cell",
    "scattering",
    "spatial transformer",
}


@pytest.mark.parametrize("name", sorted(MODERN.keys() - NOT_IN_THE_ORACLE))
def test_relevance_equals_its_literal_twin(name):
    net, x = around(MODERN[name]()), images(seed=1)
    found = attribute(net, x, layer="4", methods=("epsilon-lrp",))["epsilon-lrp"]
    torch.testing.assert_close(found, x * modified_gradient(net, x), rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("name", MODERN)
def test_channels_last_keeps_the_budget(name):
    net, x = around(MODERN[name]()), images()
    expected = attribute(net, x, layer="4", methods=("epsilon-lrp",))["epsilon-lrp"]
    net, x = (t.to(memory_format=torch.channels_last) for t in (net, x))
    assert relevance_budget(net, x, layer="4").error < 1e-12
    found = attribute(net, x, layer="4", methods=("epsilon-lrp",))["epsilon-lrp"]
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9 * float(expected.abs().max()))


def alike(one, other, *, epsilon=1e-9, tolerance=1e-6):
    """Two ways to write one network; eps may stand elsewhere, so it is small."""
    one, other = around(one), around(other)
    other.load_state_dict(dict(zip(other.state_dict(), one.state_dict().values(), strict=True)))
    a, b = (attribute(net, images(), layer="4", epsilon=epsilon) for net in (one, other))
    for method in a:
        scale = float(a[method].abs().max())
        assert float((a[method] - b[method]).abs().max()) < tolerance * scale, method


def test_a_deformable_convolution_is_the_same_by_grid_sample_and_by_gather():
    alike(Deformable(by_grid_sample), Deformable(by_gather))


def test_an_lstm_by_hand_is_torchs():
    class Fused(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(CHANNELS, CHANNELS, batch_first=True)

        def forward(self, x):
            return self.lstm(x)[0]

    one, other = around(Tokens(HandLSTM())), around(Tokens(Fused()))
    with torch.no_grad():
        lstm, hand = other[1].inner.lstm, one[1].inner
        lstm.weight_ih_l0.copy_(hand.x.weight)
        lstm.bias_ih_l0.copy_(hand.x.bias)
        lstm.weight_hh_l0.copy_(hand.h.weight)
        lstm.bias_hh_l0.zero_()
    for i in (0, 2, 4):
        other[i].load_state_dict(one[i].state_dict())
    a, b = (attribute(net, images(), layer="4") for net in (one, other))
    for method in a:
        torch.testing.assert_close(a[method], b[method], rtol=1e-8, atol=1e-10)


def test_a_selective_scan_has_the_same_gradient_by_loop_and_by_sums():
    one, other = around(Tokens(StateSpace(loop=True))), around(Tokens(StateSpace(loop=False)))
    other.load_state_dict(one.state_dict())
    a, b = (attribute(net, images(), layer="4", methods=("saliency",)) for net in (one, other))
    torch.testing.assert_close(a["saliency"], b["saliency"], rtol=1e-5, atol=1e-6)
