"""Recurrent layers written out equal torch's own, and keep their relevance budget."""

import pytest
import torch
from torch import nn

from modelatlas.attribution import attribute
from modelatlas.attribution.budget import relevance_budget
from modelatlas.attribution.recurrent import unrolled
from tiny import CHANNELS, Apply, images, randomise

LAYERS = {
    "lstm": lambda **o: nn.LSTM(CHANNELS, 5, **o),
    "gru": lambda **o: nn.GRU(CHANNELS, 5, **o),
    "tanh": lambda **o: nn.RNN(CHANNELS, 5, **o),
    "relu": lambda **o: nn.RNN(CHANNELS, 5, nonlinearity="relu", **o),
}
FUNCTIONS = {"lstm": torch.lstm, "gru": torch.gru, "tanh": torch.rnn_tanh, "relu": torch.rnn_relu}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bidirectional": True, "num_layers": 2},
        {"batch_first": True, "bias": False},
        {"bidirectional": True, "batch_first": True},
    ],
)
def test_written_out_equals_torch(kind, options):
    layer = randomise(LAYERS[kind](**options).double())
    x = torch.randn(3, 2, CHANNELS, generator=torch.Generator().manual_seed(0)).double()
    batch = x.shape[0] if options.get("batch_first") else x.shape[1]
    depth = layer.num_layers * (2 if layer.bidirectional else 1)
    start = torch.randn(depth, batch, 5, generator=torch.Generator().manual_seed(1)).double()
    states = (start, start * 0.5) if kind == "lstm" else start
    expected, ends = layer(x, states)
    found = unrolled(
        FUNCTIONS[kind],
        (
            x,
            states,
            layer._flat_weights,
            layer.bias,
            layer.num_layers,
            0.0,
            False,
            layer.bidirectional,
            layer.batch_first,
        ),
    )
    torch.testing.assert_close(found[0], expected)
    torch.testing.assert_close(found[1:], ends if kind == "lstm" else (ends,))


def test_a_projected_lstm_too():
    layer = randomise(nn.LSTM(CHANNELS, 5, proj_size=3).double())
    x = torch.randn(3, 2, CHANNELS, generator=torch.Generator().manual_seed(0)).double()
    h, c = torch.zeros(1, 2, 3).double(), torch.zeros(1, 2, 5).double()
    found = unrolled(torch.lstm, (x, (h, c), layer._flat_weights, True, 1, 0.0, False, False, False))
    torch.testing.assert_close(found[0], layer(x)[0])


class Rows(nn.Module):
    """A recurrent layer along the rows of a map."""

    def __init__(self, kind):
        super().__init__()
        self.conv, self.layer = (
            nn.Conv2d(CHANNELS, CHANNELS, 1),
            LAYERS[kind](batch_first=True, bidirectional=True),
        )

    def forward(self, x):
        return self.layer(self.conv(x).flatten(2).transpose(1, 2)[:, :6])[0]


@pytest.mark.parametrize("kind", LAYERS)
def test_the_budget_holds_and_the_gradient_is_autograds(kind):
    net, x = randomise(Rows(kind).double()), images()
    assert relevance_budget(net, x, layer="layer").error < 1e-14
    maps = attribute(net, x, layer="layer")
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(net(leaf).sum(), leaf)
    torch.testing.assert_close(maps["gradient-x-input"], x * gradient, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("kind", LAYERS)
def test_float32_agrees_with_float64(kind):
    net, x = randomise(Rows(kind).double()), images()
    exact = attribute(net, x, layer="layer")
    found = attribute(net.float(), x.float(), layer="layer")
    for method, values in found.items():
        torch.testing.assert_close(values.double(), exact[method], rtol=1e-3, atol=1e-5)


def test_it_is_found_behind_a_reshape():
    net = nn.Sequential(Rows("gru"), Apply(lambda x: x[:, -1]), nn.Linear(10, 4))
    assert attribute(randomise(net.double()), images(), layer="2")["epsilon-lrp"].abs().sum() > 0
