"""Our sources pass the shared checks; their cards agree with the libraries that they speak for."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from modelatlas.errors import FetchError, InputError
from modelatlas.zoo import card, declare_missing_ops, fetch_weights, load, source_for
from modelatlas.zoo.spec import ModelSpec
from zoo.checks import check_source

declare_missing_ops()
timm = pytest.importorskip("timm")
torchvision = pytest.importorskip("torchvision")


def test_timm():
    check_source("timm:test_resnet")


def test_torchvision():
    check_source("torchvision:squeezenet1_1")


@pytest.mark.parametrize(
    "name", ["resnet18.a1_in1k", "vit_tiny_patch16_224", "inception_v3.tf_in1k", "test_byobnet"]
)
def test_timm_preprocessing_is_its_own_without_the_crop(name):
    config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    ours = card(f"timm:{name}").input
    assert (3, ours.height, ours.width) == tuple(config["input_size"])
    picture = np.full((50, 50, 3), (10, 120, 250), dtype=np.uint8)
    transform = timm.data.create_transform(**config, is_training=False)
    from PIL import Image

    theirs = transform(Image.fromarray(picture)).numpy()
    np.testing.assert_allclose(
        ours.tensor(picture), theirs, atol=1e-6
    )  # a plain colour: cropping changes nothing


@pytest.mark.parametrize("name", ["resnet50", "swin_t", "inception_v3", "fcn_resnet50", "efficientnet_b1"])
def test_torchvision_preprocessing_is_its_own_without_the_crop(name):
    weights = torchvision.models.get_model_weights(name).DEFAULT
    ours = card(f"torchvision:{name}")
    picture = np.full((400, 400, 3), (10, 120, 250), dtype=np.uint8)
    theirs = weights.transforms()(torch.from_numpy(picture).permute(2, 0, 1)).numpy()
    np.testing.assert_allclose(ours.input.tensor(picture), theirs, atol=1e-6)
    assert ours.parameters == weights.meta["num_params"]
    assert ours.weights[0].url == weights.url


@pytest.mark.parametrize("name", ["fcn_resnet50", "lraspp_mobilenet_v3_large", "googlenet", "inception_v3"])
def test_untrained_torchvision_models_have_the_trained_ones_shape(name):
    """Its published parameter counts leave out auxiliary heads where the weights do."""
    network = load(f"torchvision:{name}?random=0").module
    counted = sum(
        p.numel() for key, p in network.named_parameters() if not key.startswith(("aux", "AuxLogits"))
    )
    stated = torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"]
    assert counted <= stated <= sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("timm:resnet81", "has no model 'resnet81'; did you mean resnet"),
        ("timm:zzzzzzzz", "lists its names"),
        ("timm:resnet18.nope", r"no such weights; timm has resnet18\.a1_in1k"),
        ("torchvision:resnet81", "did you mean resnet"),
        ("torchvision:zzzzzzzz", "lists its names"),
        ("torchvision:fasterrcnn_resnet50_fpn", "detection models do not map one image tensor"),
        ("torchvision:r3d_18", "video models do not map"),
        ("package:hedd", "did you mean package:hed"),
        ("package:zzzzzzzz", "known are efficientnet-lite0"),
    ],
)
def test_an_unknown_name_is_an_input_error_with_a_hint(spec, message):
    with pytest.raises(InputError, match=message):
        card(spec)


def test_a_timm_model_without_weights_says_what_to_do():
    name = next(name for name in timm.list_models() if not timm.get_pretrained_cfg(name).has_weights)
    assert card(f"timm:{name}").weights == ()
    with pytest.raises(InputError, match=r"add \?random=0 or \?weights=FILE"):
        load(f"timm:{name}")


def test_timms_published_weights_are_taken_by_hand_and_loaded(cache, tmp_path):
    save_file(load("timm:test_resnet?random=5").module.state_dict(), tmp_path / "by-hand.safetensors")
    (path,) = fetch_weights("timm:test_resnet", file=tmp_path / "by-hand.safetensors")
    assert path == cache / "weights" / "timm-test_resnet.r160_in1k" / "model.safetensors"
    model = load("timm:test_resnet")
    assert model.weights_digest == load("timm:test_resnet?random=5").weights_digest
    assert model.card.trained
    save_file(load("timm:test_resnet?random=6").module.state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(FetchError, match="recorded at the first download"):
        fetch_weights("timm:test_resnet", file=tmp_path / "other.safetensors")


@pytest.mark.parametrize("name", ["squeezenet1_1", "googlenet", "lraspp_mobilenet_v3_large"])
def test_torchvisions_published_weights_are_taken_by_hand_and_loaded(name, cache, tmp_path, monkeypatch):
    """The library's own network, fresh, stands for the published weights; their name's hash cannot be met."""
    options = {"googlenet": {"init_weights": False}, "lraspp_mobilenet_v3_large": {"weights_backbone": None}}
    network = torchvision.models.get_model(name, weights=None, **options.get(name, {})).eval()
    torch.save(network.state_dict(), tmp_path / "by-hand.pth")
    with pytest.raises(FetchError, match="does not begin with"):
        fetch_weights(f"torchvision:{name}", file=tmp_path / "by-hand.pth")
    monkeypatch.setattr("modelatlas.zoo.published._HASH_IN_NAME", re.compile("nothing"))
    fetch_weights(f"torchvision:{name}", file=tmp_path / "by-hand.pth")
    ours = load(f"torchvision:{name}").module
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    if name == "googlenet":
        network.transform_input = True  # as torchvision sets it where it loads its weights
    with torch.no_grad():
        expected, got = network(images), ours(images)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("spec", ["timm:test_resnet", "torchvision:squeezenet1_1"])
def test_weights_out_of_reach_say_what_to_do(spec, monkeypatch, tmp_path, cache):
    """Nothing can be reached: every connection is refused, every cache is empty."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    import socket

    def refuse(*args, **kwargs):
        raise ConnectionRefusedError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(
        FetchError, match=r"could not be fetched: cannot reach .*\?weights=FILE, .*\?random=0"
    ):
        load(spec)


def test_names_that_are_listed_have_cards():
    source = source_for(ModelSpec.parse("torchvision:resnet18"))
    for name in source.names():
        assert card(f"torchvision:{name}").parameters > 0
    assert "fasterrcnn_resnet50_fpn" not in source.names()


def test_torchvision_is_imported_with_or_without_its_operators():
    """In a fresh interpreter, as the first thing that touches torchvision."""
    code = (
        "from modelatlas.zoo._torchvision_ops import declare_missing_ops as d\n"
        "first = d()\nimport torchvision\n"
        "assert d() == first\nimport torch\ntorch.ops.torchvision.nms\nprint('fine', first)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("fine")


def test_the_users_code_may_import_torchvision_beside_a_torch_without_its_operators(tmp_path):
    (tmp_path / "nets.py").write_text(
        "import torchvision\n\ndef build():\n    return torchvision.models.squeezenet1_1(weights=None)\n"
    )
    code = (
        "from modelatlas.zoo import load; "
        "print(type(load('python:nets:build', trust_code=True).module).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout == "SqueezeNet\n", done.stderr
