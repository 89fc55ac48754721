"""A model is left as it was, and one image or call does not change what another one gives."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from modelatlas.attribution import attribute, target_layer
from modelatlas.errors import AttributionError


def pixels(count=2):
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Keeps(nn.Module):
    """Writes its buffers on every call: one in place under no_grad, one in place, one anew."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        for name in ("mean", "sum", "last"):
            self.register_buffer(name, torch.zeros(3))

    def forward(self, x):
        with torch.no_grad():
            self.mean.mul_(0.9).add_(0.1 * x.mean((0, 2, 3)))
        self.sum.add_(x.sum((0, 2, 3)))
        self.last = self.last + x.amax((0, 2, 3))
        return self.conv(x).relu()


def test_buffers_that_the_model_writes_are_put_back():
    net = Keeps().eval()
    before = dict(net.named_buffers())
    attribute(net, pixels(), layer="")
    with pytest.raises(AttributionError):
        attribute(net, pixels(), layer="", epsilon=-1)
    for name, buffer in net.named_buffers():
        assert buffer is before[name]
        assert buffer.tolist() == [0, 0, 0]
        assert not buffer.requires_grad
    copy.deepcopy(net)


def test_hooks_and_modes_that_the_model_changes_for_a_while_are_put_back():
    class Taps(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1))

        def forward(self, x):
            seen = []
            handle = self.body[2].register_forward_hook(lambda module, args, output: seen.append(output))
            self.body[2].train()
            y = self.body(x)
            self.body[2].eval()
            handle.remove()
            return y + seen[0]

    net = Taps().eval()
    for _ in range(2):
        attribute(net, pixels(), layer="body.3")
    assert not net.body[2]._forward_hooks
    assert not net.body[2].training


def test_a_lazy_layer_is_refused_and_nothing_stays_frozen():
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.LazyConv2d(4, 3), nn.ReLU()).eval()
    with pytest.raises(AttributionError, match="lazy layers without weights yet"):
        attribute(net, pixels(), layer="2")
    assert all(p.requires_grad for p in net.parameters())
    net(pixels())
    attribute(net, pixels(), layer="2")
    assert all(p.requires_grad for p in net.parameters())


def test_a_depth_that_changes_is_followed():
    class Steps(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.steps = nn.Conv2d(3, 3, 1), 2

        def forward(self, x):
            for _ in range(self.steps):
                x = torch.tanh(self.conv(x))
            return x

    net = Steps().eval()
    for steps in (2, 4, 1):
        net.steps = steps
        found = attribute(net, pixels(), layer="conv")
        expected = attribute(copy.deepcopy(net), pixels(), layer="conv")  # nothing is known of a copy
        for method in expected:
            torch.testing.assert_close(found[method], expected[method], rtol=0, atol=0)


def test_a_layer_that_runs_for_each_image_of_a_batch_is_refused_but_not_one_image():
    class OneByOne(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return torch.cat([torch.tanh(self.conv(one[None])) for one in x])

    net = OneByOne().eval()
    with pytest.raises(AttributionError, match="'conv' runs once for each image"):
        attribute(net, pixels(4), layer="conv")
    assert attribute(net, pixels(1), layer="conv")["saliency"].abs().amax() > 0
    maps = attribute(net, pixels(4), layer="")["saliency"]
    assert (maps.abs().amax((1, 2, 3)) > 0).all()


def test_random_operations_draw_alike_in_every_call():
    class Drops(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            with torch.no_grad():
                peak = x.amax()  # harmless: no other gradient without it
            return F.dropout(self.conv(x - peak + peak).relu(), 0.5, True)

    net = Drops().eval()
    torch.manual_seed(3)
    first, second = (attribute(net, pixels(), layer="") for _ in range(2))
    for method in first:
        assert torch.equal(first[method], second[method])
    leaf = pixels().requires_grad_()
    torch.manual_seed(3)
    (expected,) = torch.autograd.grad(net(leaf).sum(), leaf)  # the caller's own draws
    torch.testing.assert_close(first["saliency"], expected.abs(), rtol=1e-4, atol=1e-6)


class Pair(nn.Module):
    """Returns two maps; the head reads one of them."""

    def __init__(self, used):
        super().__init__()
        self.block, self.head, self.used = Two(), nn.Linear(4, 5), used

    def forward(self, x):
        return self.head(self.block(x)[self.used].mean((2, 3)))


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.one(x), self.two(x)


@pytest.mark.parametrize("used", [0, 1])
def test_of_several_tensors_the_one_counts_that_the_output_depends_on(used):
    net = Pair(used).eval()
    alone = (net.block.one, net.block.two)[used]
    expected = attribute(alone, pixels(), layer="")
    found = attribute(net, pixels(), layer="block")
    for method in expected:
        torch.testing.assert_close(found[method], expected[method])


def test_a_module_that_returns_a_number_is_no_obstacle():
    class Temperature(nn.Module):
        def __init__(self):
            super().__init__()
            self.log = nn.Parameter(torch.zeros(()))

        def forward(self):
            return self.log.exp()

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.temperature = nn.Conv2d(3, 4, 3), Temperature()

        def forward(self, x):
            return self.conv(x).mean((2, 3)) * self.temperature()

    assert target_layer(Scaled().eval(), pixels()).name == "conv"


@pytest.mark.parametrize(
    ("model", "images", "words"),
    [
        (nn.Conv2d(3, 4, 3).eval(), pixels().double(), r"float64, the model's weights torch.float32"),
        (nn.Conv2d(3, 4, 3).eval(), [1, 2], "must be a tensor .* not a list"),
        (torch.tanh, pixels(), "must be a torch.nn.Module"),
    ],
)
def test_what_cannot_be_a_model_or_images_is_named(model, images, words):
    with pytest.raises(AttributionError, match=words):
        attribute(model, images, layer="")


def test_a_shared_module_is_found_by_either_of_its_names():
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 3, 1))
    net.add_module("again", net[1])
    a, b = (attribute(net.eval(), pixels(), layer=name) for name in ("1", "again"))
    assert torch.equal(a["saliency"], b["saliency"])
