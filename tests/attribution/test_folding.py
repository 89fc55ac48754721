"""BatchNorm folded into convolutions: the same maps, of the same model, which stays as it was."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from modelatlas.attribution import Folding, attribute
from tiny import CHANNELS, images, randomise


def compared(net, layer, x=None):
    """Number of folded BatchNorms, and the largest relative difference of any map with and without."""
    x = images(2) if x is None else x
    plain = attribute(net, x, layer=layer)
    folding = Folding.of(net, x[:1], layer)
    with folding.applied():
        folded = attribute(net, x, layer=layer)
    return len(folding), max(
        float((plain[method] - folded[method]).abs().max() / plain[method].abs().max()) for method in plain
    )


def conv(out=6, **options):
    return nn.Conv2d(CHANNELS, out, 3, padding=1, **options)


def in_a_row(*layers):
    return randomise(nn.Sequential(*layers).double())


@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # torch.fx's own import
@pytest.mark.parametrize(
    ("name", "layer", "norms"),
    [
        ("resnet18", "layer4.1.relu", 20),
        ("mobilenet_v3_small", "features.12.2", 34),
        ("shufflenet_v2_x0_5", "conv5.2", 56),
    ],
)
def test_maps_of_real_architectures_are_those_of_torch_fx_fusion(name, layer, norms):
    import torchvision
    from torch.fx.experimental.optimization import fuse

    torch.manual_seed(0)
    net = randomise(torchvision.models.get_model(name).eval().double())
    x = images(1, channels=3, side=64)
    folding = Folding.of(net, x, layer)
    assert len(folding) == norms
    reference = attribute(fuse(copy.deepcopy(net)).eval(), x, layer=layer)
    with folding.applied():
        ours = attribute(net, x, layer=layer)
    for method, maps in reference.items():
        torch.testing.assert_close(ours[method], maps, rtol=1e-8, atol=1e-10 * float(maps.abs().max()))


def test_norms_with_an_activation_inside_are_folded():
    import timm

    torch.manual_seed(0)
    net = randomise(timm.create_model("regnety_002").eval().double())
    count, difference = compared(net, "s4", images(1, channels=3, side=64))
    assert count == sum(isinstance(module, nn.BatchNorm2d) for module in net.modules())
    assert difference < 1e-9


class Functional(nn.Module):
    """Both as functions, their arguments by name."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(6, CHANNELS, 3, 3))
        self.register_buffer("running_mean", torch.empty(6))
        self.register_buffer("running_var", torch.empty(6))

    def forward(self, x):
        y = F.conv2d(padding=1, weight=self.kernel, input=x)
        return F.batch_norm(running_var=self.running_var, input=y, running_mean=self.running_mean, eps=0.1)


SHARED = nn.BatchNorm2d(CHANNELS)
CASES = {
    "with bias": (1, lambda: in_a_row(conv(), nn.BatchNorm2d(6), nn.ReLU())),
    "without": (1, lambda: in_a_row(conv(bias=False), nn.BatchNorm2d(6, affine=False), nn.ReLU())),
    "grouped": (1, lambda: in_a_row(conv(8, groups=CHANNELS), nn.BatchNorm2d(8), nn.ReLU())),
    "reflected": (1, lambda: in_a_row(conv(padding_mode="reflect"), nn.BatchNorm2d(6), nn.ReLU())),
    "in place": (1, lambda: in_a_row(conv(), nn.BatchNorm2d(6), nn.ReLU(inplace=True))),
    "functional": (1, lambda: in_a_row(Functional(), nn.ReLU())),
    "norm runs twice": (0, lambda: in_a_row(conv(CHANNELS), SHARED, conv(CHANNELS), SHARED, nn.ReLU())),
    "something between": (0, lambda: in_a_row(conv(), nn.ReLU(), nn.BatchNorm2d(6), nn.ReLU())),
    "statistics of the input": (
        0, lambda: in_a_row(conv(), nn.BatchNorm2d(6, track_running_stats=False), nn.ReLU()),
    ),
    "weight is computed": (0, lambda: in_a_row(weight_norm(conv()), nn.BatchNorm2d(6), nn.ReLU())),
    "transposed": (
        0, lambda: in_a_row(nn.ConvTranspose2d(CHANNELS, 6, 2), nn.BatchNorm2d(6), nn.ReLU()),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_only_pairs_that_are_one_affine_map_are_folded(name):
    norms, make = CASES[name]
    net = make()
    count, difference = compared(net, str(len(net) - 1))
    assert count == norms
    assert difference < 1e-11


class Taken(nn.Module):
    """A convolution whose output goes into a BatchNorm and into something else as well."""

    def __init__(self, other):
        super().__init__()
        self.conv, self.norm, self.other = conv(), nn.BatchNorm2d(6), other

    def forward(self, x):
        y = self.conv(x)
        return torch.relu(self.norm(y)) + self.other(y)


@pytest.mark.parametrize(
    "other",
    [lambda y: y, lambda y: y.detach().mean(), lambda y: float(y.detach()[0, 0, 0, 0]), lambda y: y[:, :1]],
)
def test_an_output_that_something_else_takes_is_left_alone(other):
    net = randomise(Taken(other).double())
    count, difference = compared(net, "")
    assert (count, difference) == (0, 0)


def test_the_size_of_an_output_is_not_its_value():
    net = randomise(Taken(lambda y: y.shape[1] * y.size(0) * y.dim()).double())
    count, difference = compared(net, "")
    assert count == 1
    assert difference < 1e-11


def test_a_layer_before_its_norm_keeps_its_value():
    net = in_a_row(conv(), nn.BatchNorm2d(6), nn.ReLU())
    count, difference = compared(net, "0")
    assert (count, difference) == (0, 0)


def test_the_model_is_as_it_was_and_folding_ends_with_its_context():
    net = in_a_row(conv(), nn.BatchNorm2d(6), nn.ReLU())
    x = images(2)
    with torch.no_grad():
        before, state = net(x), copy.deepcopy(net.state_dict())
        folding = Folding.of(net, x, "2")
        calls = []
        handle = net[1].register_forward_hook(lambda module, given, output: calls.append(output is given[0]))
        with folding.applied():
            torch.testing.assert_close(net(x), before, rtol=1e-12, atol=1e-12)
        assert torch.equal(net(x), before)
        handle.remove()
    assert calls == [True, False]
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    assert all(parameter.requires_grad for parameter in net.parameters())
