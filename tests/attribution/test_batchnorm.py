"""Gradients through batch norm for one image, where torch's own are wrong: against slopes of T."""

import pytest
import torch
from torch import nn

from modelatlas.attribution import attribute
from tiny import BLOCKS, CHANNELS, Apply, images, randomise


def tokens_and_back(x):
    n, c, h, w = x.shape
    return x.flatten(2).transpose(1, 2).contiguous().transpose(1, 2).reshape(n, c, h, w)


@pytest.mark.parametrize("norm", ["batch norm", "instance norm"])
@pytest.mark.parametrize("place", ["after", "before", "both"])
@pytest.mark.parametrize("count", [1, 2])
def test_the_gradient_is_the_slope_of_the_total(norm, place, count):
    before = tokens_and_back if place != "after" else lambda x: x
    head = nn.Linear(CHANNELS, 3) if place != "before" else nn.Identity()
    turn = Apply(lambda x: x.flatten(2).transpose(1, 2) if place != "before" else x)
    net = nn.Sequential(
        nn.Conv2d(CHANNELS, CHANNELS, 1), Apply(before), BLOCKS[norm](), turn, head, Apply(torch.exp)
    )
    net = randomise(net.double())
    x = images(count)
    gradient = attribute(net, x, layer="5", methods=("gradient-x-input",))["gradient-x-input"] / x
    step = 1e-5 * images(count, seed=5)
    with torch.no_grad():
        slope = (net(x + step).sum() - net(x - step).sum()) / 2
    assert float((gradient * step).sum()) == pytest.approx(float(slope), rel=1e-6, abs=1e-12)


def test_one_image_gives_what_it_gives_in_a_batch():
    net = nn.Sequential(
        nn.Conv2d(CHANNELS, 8, 1),
        nn.BatchNorm2d(8),
        Apply(lambda x: x.flatten(2).transpose(1, 2)),
        nn.Linear(8, 5),
        nn.GELU(),
    )
    net, x = randomise(net.double()), images(3)
    together = attribute(net, x, layer="4")
    alone = attribute(net, x[:1], layer="4")
    for method, found in alone.items():
        torch.testing.assert_close(found, together[method][:1], rtol=1e-9, atol=1e-12)
