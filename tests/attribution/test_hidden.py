"""Parts of a model that gradients do not see: an error that names the line, and the way round."""

import pytest
import torch
from torch import nn

import modelatlas as ma
from modelatlas.attribution import attribute, target_layer
from modelatlas.attribution.budget import relevance_budget
from modelatlas.errors import AttributionError
from tiny import BLOCKS, CHANNELS, Apply, images, randomise


class FrozenBranch(nn.Module):
    """A frozen part under no_grad, whose result multiplies, or is, what goes on."""

    def __init__(self, context, *, alone=False):
        super().__init__()
        self.frozen, self.context, self.alone = nn.Conv2d(CHANNELS, CHANNELS, 1), context, alone

    def forward(self, x):
        with self.context():
            features = self.frozen(x)
        return features if self.alone else features * x


def net_with(block):
    return randomise(nn.Sequential(BLOCKS["conv"](), block, nn.ReLU(), BLOCKS["conv"]()).double())


def test_a_part_under_no_grad_is_an_error_that_names_the_line():
    net = net_with(FrozenBranch(torch.no_grad))
    for call in (lambda: attribute(net, images(), layer="3"), lambda: attribute(net, images())):
        with pytest.raises(AttributionError, match=r"no_grad\(\) at .*test_hidden.py:\d+ in forward.*detach"):
            call()


def test_a_model_all_of_it_under_no_grad_names_the_line_too():
    net = nn.Sequential(FrozenBranch(torch.no_grad, alone=True)).double().eval()
    with pytest.raises(
        AttributionError, match=r"no layer of the model.*inside '0.frozen' \(.*test_hidden.py:\d+"
    ):
        target_layer(net, images())


@pytest.mark.parametrize("context", [torch.no_grad, lambda: torch.set_grad_enabled(False)])
@pytest.mark.parametrize("alone", [False, True])
def test_the_way_round_gives_what_the_model_without_it_gives(context, alone):
    net = net_with(FrozenBranch(context, alone=alone))
    x = images()
    around = ma.through_no_grad(net)
    assert not around.training
    found = attribute(around, x, layer="model.3")
    assert relevance_budget(around, x, layer="model.3").error < 1e-14
    net[1].context = torch.enable_grad
    expected = attribute(net, x, layer="3")
    assert all(torch.equal(found[method], expected[method]) for method in expected)
    by_rule = attribute(around, x)
    assert all(torch.equal(by_rule[method], expected[method]) for method in expected)


def test_the_way_round_stays_out_of_the_callers_no_grad():
    around = ma.through_no_grad(net_with(FrozenBranch(torch.no_grad)))
    with torch.no_grad():
        assert not around(images()).requires_grad
    assert around(images()).requires_grad


def test_no_grad_where_only_the_shift_of_a_softmax_is_hidden_does_no_harm():
    def softmax(x):
        with torch.no_grad():
            top = x.amax(1, keepdim=True)
        weights = torch.exp(x - top)
        return x * (weights / weights.sum(1, keepdim=True))

    net, x = net_with(Apply(softmax)), images()
    found = attribute(net, x, layer="3")
    assert relevance_budget(net, x, layer="3").error < 1e-14
    net[1] = Apply(lambda x: x * x.softmax(1)).eval()
    torch.testing.assert_close(found["epsilon-lrp"], attribute(net, x, layer="3")["epsilon-lrp"])


def test_detach_is_the_authors_word():
    net = net_with(Apply(lambda x: x * x.detach()))
    assert relevance_budget(net, images(), layer="3").error < 1e-14


@pytest.mark.parametrize("alone", [False, True])
def test_inference_mode_is_explained(alone):
    net = net_with(FrozenBranch(torch.inference_mode, alone=alone))
    with pytest.raises(
        AttributionError, match=r"inference_mode\(\)|inside '1.frozen' \(.*test_hidden.py:\d+"
    ):
        attribute(net, images(), layer="3")
