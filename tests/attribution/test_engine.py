"""The contract of `attribute`: autograd's gradients, the model left as it was, errors that say why."""

import copy
import random
import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from captum.attr import InputXGradient, Saliency
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import modelatlas as ma
from modelatlas.attribution import attribute
from modelatlas.errors import AttributionError
from tiny import BLOCKS, CHANNELS, Apply, images, network, randomise

ALL = ("saliency", "gradient-x-input", "epsilon-lrp")


def bare_gradient(net, x):
    """One forward and one backward pass of bare autograd, parameters frozen as the engine freezes them."""
    net = copy.deepcopy(net).requires_grad_(False)
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(net(leaf.clone()).sum(), leaf)[0]


def state_of(model):
    return (
        [(name, module.training) for name, module in model.named_modules()],
        [(p.requires_grad, p.grad, p._version, p.data_ptr()) for p in model.parameters()],
        [dict(module._forward_hooks) for module in model.modules()],
        [dict(module._forward_pre_hooks) for module in model.modules()],
        [b._version for b in model.buffers()],
        torch.get_rng_state().tolist(),
        random.getstate(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002 - the global state is what must stay
        (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
    )


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    blocks=st.lists(st.sampled_from(sorted(BLOCKS)), min_size=1, max_size=5),
    seed=st.integers(0, 2**16),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_gradient_methods_are_autograd_bit_for_bit(blocks, seed, dtype):
    net, x = network("conv", *blocks, "conv", seed=seed).to(dtype), images(seed=seed).to(dtype)
    maps = attribute(net, x, layer=str(len(net) - 1), methods=ALL)
    gradient = bare_gradient(net, x)
    assert torch.equal(maps["saliency"], gradient.abs())
    assert torch.equal(maps["gradient-x-input"], x * gradient)


@pytest.mark.parametrize("block", ["relu in place", "squeeze-excite", "attention", "group norm"])
def test_agrees_with_captum(block):
    net, x = network("conv", block, "conv"), images()

    def total(data):
        return net(data).sum((1, 2, 3))

    maps = attribute(net, x, layer="2")
    saliency = Saliency(total).attribute(x.clone().requires_grad_())
    product = InputXGradient(total).attribute(x.clone().requires_grad_())
    torch.testing.assert_close(maps["saliency"], saliency, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(maps["gradient-x-input"], product.detach(), rtol=1e-10, atol=1e-12)


def test_the_target_is_read_where_the_layer_returns_before_later_in_place_operations():
    net = nn.Sequential(nn.Conv2d(CHANNELS, 3, 3), nn.ReLU(inplace=True)).double()
    randomise(net)
    x = images()
    maps = attribute(net, x, layer="0", methods=("gradient-x-input",))
    torch.testing.assert_close(maps["gradient-x-input"], x * bare_gradient(net[0], x), rtol=1e-12, atol=0)


def test_the_first_operation_may_change_its_input_in_place():
    net = randomise(nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(CHANNELS, 2, 3)).double())
    x = images()
    before = x.clone()
    attribute(net, x, layer="1")
    assert torch.equal(x, before)


@dataclass
class Outputs:
    hidden: torch.Tensor
    extra: torch.Tensor | None = None


@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: (t, t * 2),
        lambda t: [torch.arange(3), t],
        lambda t: OrderedDict(out=t, aux=t * 3),
        lambda t: {"ids": torch.arange(2), "nested": (None, {"x": t})},
        lambda t: Outputs(t),
        lambda t: (torch.zeros(3), t),  # floating-point, but no part of the graph
    ],
)
def test_a_layer_that_returns_a_structure_stands_for_its_first_attached_tensor(wrap):
    inner = nn.Sequential(nn.Conv2d(CHANNELS, 2, 1), Apply(wrap)).double()
    randomise(inner)
    plain = nn.Sequential(inner[0]).eval()
    x = images()
    maps = attribute(inner, x, layer="1")
    expected = attribute(plain, x, layer="0")
    assert all(torch.equal(maps[method], expected[method]) for method in ALL)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.head = nn.Conv2d(CHANNELS, 1, 1)

    def forward(self, x):
        return self.head(self.conv(F.relu(self.conv(x))))


def test_a_layer_that_runs_twice_stands_for_its_last_run():
    net, x = randomise(Twice().double()), images()
    maps = attribute(net, x, layer="conv")
    body = nn.Sequential(net.conv, nn.ReLU(), net.conv)
    torch.testing.assert_close(maps["gradient-x-input"], x * bare_gradient(body, x), rtol=1e-12, atol=1e-15)


def test_what_follows_the_layer_runs_without_a_graph():
    seen = []
    last = Apply(lambda x: seen.append(torch.is_grad_enabled()) or x)
    net, x = nn.Sequential(*network("conv", "relu", "conv"), last).eval(), images()
    attribute(net, x, layer="2")
    seen.clear()
    attribute(net, x, layer="2")
    assert seen == [False]


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_left_as_it_was(fails):
    def last(x):
        torch.rand(3), random.random(), np.random.rand()  # noqa: NPY002 - a model that draws
        if fails:
            raise ValueError("broken forward")
        return x

    net = nn.Sequential(*network("conv", "batch norm", "relu"), Apply(last)).eval()
    net[0].weight.requires_grad_(False)
    net[0].register_forward_hook(lambda *_: None)
    net[1].weight.grad = torch.ones_like(net[1].weight)
    before = state_of(net)
    if fails:
        with pytest.raises(ValueError, match="broken forward"):
            attribute(net, images(), layer="3")
    else:
        attribute(net, images(), layer="3")
    assert state_of(net) == before


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_works_where_the_caller_turned_gradients_off(context):
    net, x = network("conv", "silu", "conv"), images()
    expected = attribute(net, x, layer="2")
    with context():
        found = attribute(net, x.clone(), layer="2")
    assert all(torch.equal(found[method], expected[method]) for method in ALL)
    assert not any(value.requires_grad for value in found.values())


def test_images_that_belong_to_a_graph_are_detached():
    net, x = network("conv", "relu", "conv"), images().requires_grad_()
    maps = attribute(net, x * 1, layer="2")
    assert x.grad is None
    assert not maps["gradient-x-input"].requires_grad


def test_channels_last_gives_the_same_maps():
    net, x = network("conv", "batch norm", "relu", "conv"), images()
    expected = attribute(net, x, layer="3")
    found = attribute(
        net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last), layer="3"
    )
    for method in ALL:
        torch.testing.assert_close(found[method], expected[method], rtol=1e-10, atol=1e-12)


def test_several_threads_share_one_model_and_parts_of_models():
    backbone = network("conv", "batch norm", "relu", "conv", "silu", "conv")
    models = [backbone, nn.Sequential(backbone, nn.Conv2d(CHANNELS, 2, 1).double()).eval()]
    layers = ["5", "1"]
    x = images(4)
    expected = [attribute(m, x, layer=layer) for m, layer in zip(models, layers, strict=True)]
    wrong: list[object] = []

    def work(index):
        try:
            for _ in range(10):
                maps = attribute(models[index % 2], x, layer=layers[index % 2])
                if not all(torch.equal(maps[m], expected[index % 2][m]) for m in ALL):
                    wrong.append(index)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert all(p.requires_grad for p in models[1].parameters())
    assert not any(module._forward_hooks for module in models[1].modules())


def test_images_of_a_batch_do_not_disturb_one_another():
    net, x = network("conv", "group norm", "gelu", "attention", "conv"), images(3)
    together = attribute(net, x, layer="4")
    for i in range(3):
        alone = attribute(net, x[i : i + 1], layer="4")
        for method in ALL:
            torch.testing.assert_close(together[method][i : i + 1], alone[method], rtol=1e-9, atol=1e-12)


def test_methods_come_back_in_the_order_asked_for():
    net, x = network("conv", "relu"), images()
    assert list(attribute(net, x, layer="1", methods=("epsilon-lrp", "saliency"))) == [
        "epsilon-lrp",
        "saliency",
    ]


def test_it_is_public():
    net, x = network("conv", "relu"), images()
    assert ma.target_layer(net, x).name
    assert set(ma.attribute(net, x)) == set(ALL)


def test_a_dead_target_is_named_before_and_after_weights_change():
    net = nn.Sequential(
        nn.Conv2d(CHANNELS, 8, 3), Apply(lambda x: x.flatten(2).transpose(1, 2)), nn.LayerNorm(8)
    )
    net = net.double().eval()
    x = images()
    for _ in range(2):
        with pytest.raises(AttributionError, match=r"'2'.*LayerNorm.*before the norm"):
            attribute(net, x, layer="2")
    with torch.no_grad():
        net[2].weight[0] = 3.0  # not uniform any more
    assert attribute(net, x, layer="2")["saliency"].sum() > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": "nothere"}, r"no layer 'nothere'"),
        ({"layer": "con"}, r"no layer 'con'"),
        ({"methods": ("saliency", "lrp")}, r"unknown methods \['lrp'\]: choose from saliency"),
        ({"methods": ()}, "unknown methods"),
        ({"methods": "saliency"}, r"^methods is the text 'saliency': give a list, as in"),
        ({"epsilon": 0.0}, "epsilon"),
        ({"epsilon": float("nan")}, "epsilon"),
        ({"images": images().half()}, "float32 or float64, not torch.float16"),
        ({"images": torch.zeros(1, 3, 8, 8, dtype=torch.uint8)}, "not torch.uint8"),
        ({"images": images()[0]}, r"\[N, C, H, W\]"),
        ({"images": images()[:0]}, "not empty"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    call = {"images": images(), "layer": "1"} | change
    with pytest.raises(AttributionError, match=message):
        attribute(network("conv", "relu"), call.pop("images"), **call)


def test_training_mode_is_refused_and_the_module_named():
    net = network("conv", "batch norm", "relu")
    net[1].train()
    with pytest.raises(AttributionError, match=r"training mode \(1\)"):
        attribute(net, images(), layer="2")


def test_a_layer_that_does_not_run_or_does_not_depend_is_named():
    class Detached(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.unused = nn.Conv2d(CHANNELS, 2, 1), nn.Identity()

        def forward(self, x):
            with torch.no_grad():
                return self.conv(x)

    net = Detached().double().eval()
    with pytest.raises(AttributionError, match="'unused' did not run"):
        attribute(net, images(), layer="unused")
    with pytest.raises(AttributionError, match=r"'conv' does not depend .*no_grad\(\) inside 'conv'"):
        attribute(net, images(), layer="conv")
    inner = nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 1).double(), Apply(torch.Tensor.detach), net)
    with pytest.raises(AttributionError, match="inside '1'"):
        attribute(inner.eval(), images(), layer="2.conv")


def test_an_in_place_operation_that_breaks_the_backward_pass_is_explained():
    def breaks(x):
        y = torch.exp(x)
        y.add_(1)
        return y

    net = nn.Sequential(nn.Conv2d(CHANNELS, 2, 1), Apply(breaks)).double().eval()
    with pytest.raises(AttributionError, match="changes in place what its backward pass needs"):
        attribute(net, images(), layer="1")


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # deprecated, but still in use
def test_torchscript_is_refused():
    net = torch.jit.trace(network("conv", "relu"), images())
    with pytest.raises(AttributionError, match="TorchScript"):
        attribute(net, images(), layer="1")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same_maps():
    net, x = network("conv", "batch norm", "relu", "squeeze-excite", "attention", "conv"), images()
    expected = attribute(net, x, layer="5")
    found = attribute(net.cuda(), x.cuda(), layer="5")
    for method in ALL:
        torch.testing.assert_close(found[method].cpu(), expected[method], rtol=1e-8, atol=1e-10)
