"""Compiled, scripted, checkpointed, autocast and low-precision models."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from modelatlas.attribution import attribute, target_layer
from modelatlas.attribution.budget import relevance_budget
from modelatlas.errors import AttributionError
from tiny import BLOCKS, CHANNELS, Apply, SqueezeExcite, images, randomise

SCRIPTING_IS_OLD = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")


def net_with(*blocks):
    return randomise(nn.Sequential(BLOCKS["conv"](), *blocks, nn.ReLU(), BLOCKS["conv"]()).double())


@pytest.fixture
def dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


# aot_eager makes one node of a graph, as the default backend does, and needs no C++ compiler.
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # dynamo looks at it
@pytest.mark.parametrize("way", ["module", "in place", "part", "function"])
def test_a_compiled_model_runs_as_it_was_written(way, dynamo):
    net, x = net_with(nn.SiLU(), nn.Conv2d(CHANNELS, CHANNELS, 1), SqueezeExcite()), images()
    expected, layer = attribute(net, x, layer="5"), "5"
    if way == "module":
        net, layer = torch.compile(net, backend="aot_eager"), "_orig_mod.5"
    elif way == "in place":
        net.compile(backend="aot_eager")
    elif way == "part":
        net[3] = torch.compile(net[3], backend="aot_eager")
    else:
        net[1] = Apply(torch.compile(lambda x: x * torch.sigmoid(x), backend="aot_eager")).eval()
    name = net(x.clone().requires_grad_()).grad_fn.name()
    assert ("Compiled" in name) == (way == "module")
    found = attribute(net, x, layer=layer)
    for method in found:
        torch.testing.assert_close(found[method], expected[method], rtol=1e-6, atol=1e-9)
    assert relevance_budget(net, x, layer=layer).error < 1e-14
    assert target_layer(net, x).name in ("5", "_orig_mod")
    # Still compiled afterwards.
    assert net(x.clone().requires_grad_()).grad_fn.name() == name


def test_a_compiled_models_layers_are_suggested(dynamo):
    with pytest.raises(AttributionError, match=r"near: .*_orig_mod\.2"):
        attribute(torch.compile(net_with(), backend="aot_eager"), images(), layer="_orig.2")


@SCRIPTING_IS_OLD
def test_a_scripted_function_runs_operation_by_operation():
    scripted = torch.jit.script(_swish_and_tanh)
    net, x = net_with(Apply(scripted)), images()
    expected = attribute(net_with(Apply(_swish_and_tanh)), x, layer="3")
    for _ in range(3):  # TorchScript fuses from the second or third run on
        found = attribute(net, x, layer="3")
        for method in found:
            torch.testing.assert_close(found[method], expected[method], rtol=1e-9, atol=1e-11)
        assert relevance_budget(net, x, layer="3").error < 1e-14


def _swish_and_tanh(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(x) + torch.tanh(x)


@SCRIPTING_IS_OLD
def test_a_scripted_part_is_named_and_only_epsilon_lrp_minds():
    part = nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 1), nn.Tanh()).double().eval()
    net, x = net_with(part), images()
    expected = attribute(net, x, layer="3", methods=("saliency",))["saliency"]
    net[1] = torch.jit.script(part)
    torch.testing.assert_close(attribute(net, x, layer="3", methods=("saliency",))["saliency"], expected)
    with pytest.raises(AttributionError, match="part '1' is a TorchScript module"):
        attribute(net, x, layer="3")


class Checkpointed(nn.Module):
    def __init__(self, *, reentrant):
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 1), nn.Tanh())
        self.reentrant = reentrant

    def forward(self, x):
        return checkpoint(self.inner, x, use_reentrant=self.reentrant)


def test_a_checkpointed_part_gives_the_same_maps():
    net, x = net_with(Checkpointed(reentrant=False)), images()
    found = attribute(net, x, layer="3")
    net[1] = net[1].inner
    expected = attribute(net, x, layer="3")
    for method in found:
        torch.testing.assert_close(found[method], expected[method], rtol=1e-12, atol=1e-14)


def test_reentrant_checkpoints_are_named():
    with pytest.raises(AttributionError, match="turn its gradient checkpointing off"):
        attribute(net_with(Checkpointed(reentrant=True)), images(), layer="3")


def mixed_blocks():
    return nn.SiLU(), nn.Conv2d(CHANNELS, CHANNELS, 1), SqueezeExcite(), nn.GroupNorm(2, CHANNELS)


def test_autocast_leaves_float64_exact():
    net, x = net_with(*mixed_blocks()), images()
    expected = attribute(net, x, layer="6")
    with torch.autocast("cpu", torch.bfloat16):
        found = attribute(net, x, layer="6")
        assert relevance_budget(net, x, layer="6").error < 1e-14
    assert all(torch.equal(found[method], expected[method]) for method in found)


@pytest.mark.parametrize("inside", [False, True])
def test_autocast_keeps_the_budget_to_bfloat16s_precision(inside):
    net, x = net_with(*mixed_blocks()), images()
    expected = attribute(net, x, layer="6")
    net = net.float()
    if inside:
        plain = net[2].forward

        def cast(x):
            with torch.autocast("cpu", torch.bfloat16):
                return plain(x).float()

        net[2].forward = cast
        found, error = attribute(net, x.float(), layer="6"), relevance_budget(net, x.float(), layer="6").error
    else:
        with torch.autocast("cpu", torch.bfloat16):
            found = attribute(net, x.float(), layer="6")
            error = relevance_budget(net, x.float(), layer="6").error
    assert error < 2**-8  # bfloat16 keeps 8 bits
    check_close(found, expected)


@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16])
def test_low_precision_weights_take_the_images_in_their_precision(low):
    net, x = net_with(*mixed_blocks()).to(low), images()
    found = attribute(net, x.float(), layer="6")
    assert target_layer(net, x.float()).name
    assert relevance_budget(net, x.float(), layer="6").error < 2**-7
    net = net.double()  # the same, rounded, weights: exact again
    assert relevance_budget(net, x, layer="6").error < 1e-14
    check_close(found, attribute(net, x, layer="6"))


def check_close(found, expected):
    for method in found:
        assert found[method].dtype == torch.float32
        alike = torch.cosine_similarity(found[method].double().flatten(1), expected[method].flatten(1))
        assert float(alike.min()) > 0.999
