"""Checkpoints: read without running code, put in strictly, digested by content."""

import argparse
import datetime
import os
import pickle
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from modelatlas.errors import ModelError
from modelatlas.zoo import declare_missing_ops, load, weights_digest
from modelatlas.zoo.weights import check_finite, load_into, read_state_dict, without_wrappers

NET = "torchvision:squeezenet1_1"


def net(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval()


def put(state, path):
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
def test_weights_survive_the_way_through_a_file(tmp_path, suffix):
    path = put(net(1).state_dict(), tmp_path / f"w{suffix}")
    other = net(2)
    load_into(other, read_state_dict(path, model="m"), model="m", path=path)
    assert weights_digest(other) == weights_digest(net(1)) != weights_digest(net(2))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state},
        lambda state: {"checkpoint": 1, "model": {"state_dict": state}},
        lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
        lambda state: {f"module._orig_mod.{name}": tensor for name, tensor in state.items()},
        lambda state: {"state_dict": {f"model.module.{name}": tensor for name, tensor in state.items()}},
        lambda state: {f"backbone.{name}": tensor for name, tensor in state.items()},
        lambda state: {"model": {f"module.encoder.net.{name}": tensor for name, tensor in state.items()}},
        lambda state: {"model_ema": state, "epoch": 3},
        lambda state: {"student": {"state_dict": state}, "best": torch.tensor(0.5)},
        lambda state: {"generator": state, "optimizer": {"state": {0: {"step": torch.zeros(1)}}}},
        lambda state: {
            "model": state,
            "args": argparse.Namespace(lr=0.1, data=Path("data"), scores=np.zeros(3)),
            "out": PurePosixPath("runs"),
            "best": np.float64(0.5),
            "epoch": np.int64(3),
        },
        lambda state: {f"module.{name}" if name < "1" else name: tensor for name, tensor in state.items()},
        lambda state: {
            name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")
        },
        lambda state: {
            name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()
        },
    ],
)
def test_common_wrappings_of_a_state_dict(tmp_path, wrap):
    path = put(wrap(net(1).state_dict()), tmp_path / "w.pt")
    other = net(2)
    load_into(other, read_state_dict(path, model="m"), model="m", path=path)
    for ours, theirs in zip(other.parameters(), net(1).parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_of_several_state_dicts_none_is_guessed(tmp_path):
    state = net(1).state_dict()
    path = put({"student": state, "teacher": state, "epoch": 3}, tmp_path / "w.pt")
    with pytest.raises(
        ModelError,
        match=r"holds several state dicts \(student, teacher\): .* torch\.save\(checkpoint\['student'\]",
    ):
        read_state_dict(path, model="m")
    path = put({"model": state, "model_ema": net(2).state_dict()}, tmp_path / "w.pt")  # a name of old
    other = net(3)
    load_into(other, read_state_dict(path, model="m"), model="m", path=path)
    assert weights_digest(other) == weights_digest(net(1))


def test_what_lies_beside_the_weights_is_not_made(tmp_path):
    """A class of that name is asked for nothing; any other is named, and nothing is read."""
    path = put(
        {"model": net().state_dict(), "args": argparse.Namespace(when=datetime.date(2026, 1, 1))},
        tmp_path / "w.pt",
    )
    with pytest.raises(ModelError, match=r"more than arrays and plain values \(datetime\.date\)"):
        read_state_dict(path, model="m")
    before = set(torch.serialization.get_safe_globals())
    read_state_dict(put({"model": net().state_dict(), "args": argparse.Namespace(a=1)}, path), model="m")
    assert set(torch.serialization.get_safe_globals()) == before


def test_a_prefix_is_taken_off_only_where_all_names_have_it(tmp_path):
    state = {f"backbone.{name}": tensor for name, tensor in net(1).state_dict().items()}
    with pytest.raises(ModelError, match="does not fit the network"):
        load_into(net(), state | {"projector.weight": torch.zeros(1)}, model="m", path=tmp_path)


@pytest.mark.parametrize("prefix", ["", "module.", "encoder."])
def test_a_checkpoint_without_its_head_is_told_how_to_go_on(tmp_path, prefix):
    state = {f"{prefix}{name}": tensor for name, tensor in net().state_dict().items() if name[0] != "3"}
    with pytest.raises(
        ModelError, match=r"lacks the network's last layers \(3\.bias, 3\.weight\) and has all else"
    ):
        load_into(net(), state, model="m", path=tmp_path / "w.pt")
    first = {name: tensor for name, tensor in net().state_dict().items() if name[0] != "0"}
    with pytest.raises(ModelError, match=r"2 names missing \(first: '0\.bias'\)"):
        load_into(net(), first, model="m", path=tmp_path / "w.pt")


class Evil:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (self.trace,)


@pytest.mark.parametrize("save", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing))])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, save):
    path, trace = tmp_path / "w.pt", tmp_path / "trace"
    save({"state_dict": net().state_dict(), "more": Evil(str(trace))}, path)
    with pytest.raises(ModelError, match=r"m: .*w.pt wants to run code.* not read.* safetensors") as caught:
        read_state_dict(path, model="m")
    assert caught.value.model == "m"
    assert not trace.exists()
    with pytest.raises(ModelError, match="wants to run code"):
        load(f"{NET}?weights={path}")
    assert not trace.exists()


def test_files_that_are_no_checkpoints(tmp_path):
    texts = (b"", b"<html>", b"hello world", b"c", b"torch==2.6\n", b"\n", b"\xef\xbb\xbfname,value\n")
    for content in texts:  # some of them begin as a pickle may, and fail in many ways
        (tmp_path / "w.pt").write_bytes(content)
        with pytest.raises(ModelError, match=r"^m: \S+w\.pt is no checkpoint: it is neither safetensors nor"):
            read_state_dict(tmp_path / "w.pt", model="m")
    (tmp_path / "w.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(ModelError, match="no readable checkpoint"):
        read_state_dict(tmp_path / "w.safetensors", model="m")
    with pytest.raises(ModelError, match="there is no weights file"):
        read_state_dict(tmp_path / "absent.pt", model="m")
    with pytest.raises(ModelError, match="there is no weights file"):
        read_state_dict(tmp_path / "absent.safetensors", model="m")
    torch.save({"epoch": 3}, tmp_path / "w3.pt")
    torch.save([1, 2], tmp_path / "w4.pt")
    for name in ("w3.pt", "w4.pt"):
        with pytest.raises(ModelError, match="holds no state dict"):
            read_state_dict(tmp_path / name, model="m")


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code:UserWarning")
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickled_network_is_refused_in_our_own_words(tmp_path, zipped):
    class Net(nn.Sequential):
        pass

    Net.__qualname__ = "Net"
    globals()["Net"] = Net  # where pickle looks for it
    torch.save(Net(nn.Conv2d(3, 4, 3)), tmp_path / "full.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError) as caught:
        read_state_dict(tmp_path / "full.pt", model="m")
    assert str(caught.value) == (
        f"m: {tmp_path / 'full.pt'} wants to run code: it holds more than arrays and plain values "
        f"({__name__}.Net). It was not read; where you trust it, save the weights alone: "
        "torch.save(model.state_dict(), FILE), or as safetensors"
    )


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_torchscript_program_is_told_from_weights(tmp_path):
    torch.jit.trace(net(), torch.zeros(1, 3, 8, 8)).save(tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"w\.pt is a TorchScript program; save the weights alone"):
        read_state_dict(tmp_path / "w.pt", model="m")


@given(place=st.integers(2, 400), byte=st.integers(0, 255))
@settings(max_examples=50, deadline=None)
def test_whatever_a_damaged_pickle_raises_is_one_line_of_ours(tmp_path_factory, place, byte):
    path = tmp_path_factory.getbasetemp() / "bent.pt"
    torch.save(net().state_dict(), path, _use_new_zipfile_serialization=False)
    content = bytearray(path.read_bytes())
    content[place] = byte
    path.write_bytes(content)
    said = ""
    try:
        read_state_dict(path, model="m")
    except ModelError as error:
        said = str(error)
    assert "\n" not in said
    assert "weights_only" not in said


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_truncated_checkpoint_is_said_to_be_unreadable(tmp_path, suffix):
    path = put(net().state_dict(), tmp_path / f"w{suffix}")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"no readable checkpoint|is no pickle"):
        read_state_dict(path, model="m")


def test_what_does_not_fit_is_named(tmp_path):
    state = net().state_dict()
    for change, message in (
        ({"0.weight": None}, r"1 names missing \(first: '0.weight'\)"),
        ({"9.weight": torch.zeros(1)}, r"1 names unknown \(first: '9.weight'\)"),
        ({"3.bias": torch.zeros(5)}, r"1 shapes differ \(first: '3.bias'\)"),
    ):
        changed = {name: tensor for name, tensor in (state | change).items() if tensor is not None}
        other = net(2)
        before = weights_digest(other)
        with pytest.raises(ModelError, match=message):
            load_into(other, changed, model="m", path=tmp_path / "w.pt")
        assert weights_digest(other) == before


@given(
    prefixes=st.lists(st.sampled_from(["module.", "_orig_mod.", "model."]), max_size=4),
    names=st.sets(st.sampled_from(["0.weight", "fc.bias", "head"])),
)
def test_any_nesting_of_wrappers_is_taken_off(prefixes, names):
    wrapped = {"".join(prefixes) + name: torch.zeros(1) for name in names}
    assert without_wrappers(wrapped).keys() == names


def test_names_that_lack_a_wrappers_prefix_fit_too(tmp_path):
    class Wrapped(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

    other = Wrapped(net(2))
    load_into(other, net(1).state_dict(), model="m", path=tmp_path)
    assert weights_digest(other.model) == weights_digest(net(1))


@pytest.mark.parametrize(
    ("spec", "head"),
    [
        ("timm:test_resnet", "fc"),
        ("timm:test_vit", "head"),
        ("torchvision:squeezenet1_1", "classifier.1"),
        ("torchvision:regnet_y_400mf", "fc"),
    ],
)
def test_a_checkpoint_of_other_classes_brings_its_own_head(spec, head, tmp_path):
    """Fine-tuned on seven classes: the library's own network for seven classes gives the same."""
    source, _, name = spec.partition(":")
    declare_missing_ops()
    torch.manual_seed(0)
    if source == "timm":
        seven = pytest.importorskip("timm").create_model(name, num_classes=7)
    else:
        seven = pytest.importorskip("torchvision").models.get_model(name, num_classes=7)
    torch.save(
        {"model": {f"module.{key}": value for key, value in seven.state_dict().items()}}, tmp_path / "w.pth"
    )
    model = load(f"{spec}?weights={tmp_path / 'w.pth'}")
    images = torch.randn(2, 3, 96, 96) if source == "torchvision" else torch.randn(2, 3, 160, 160)
    with torch.no_grad():
        torch.testing.assert_close(model.module(images), seven.eval()(images), rtol=0, atol=0)
    assert model.card.parameters == sum(parameter.numel() for parameter in seven.parameters())
    assert model.module.get_submodule(head).weight.shape[0] == 7


def test_a_wider_layer_inside_is_no_head(tmp_path):
    """Its output is read by a layer of the old width: that does not fit."""
    wide = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 2, 1))
    with pytest.raises(ModelError, match=r"5 shapes differ \(first: '1.weight'\)"):
        load_into(net(), wide.state_dict(), model="m", path=tmp_path)
    broken = net().state_dict() | {"3.bias": torch.zeros(5)}
    with pytest.raises(ModelError, match=r"1 shapes differ \(first: '3.bias'\)"):
        load_into(net(), broken, model="m", path=tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    broken = load(f"{NET}?random=0").module
    with torch.no_grad():
        broken.get_parameter("classifier.1.bias")[3] = value
    path = put(broken.state_dict(), tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"NaN or infinity in 'classifier\.1\.bias'"):
        load(f"{NET}?weights={path}")


def test_infinity_in_a_buffer_is_a_mask_and_fine():
    module = nn.Linear(2, 2)
    module.register_buffer("mask", torch.tensor([0.0, float("-inf")]))
    check_finite(module, model="m")
    module.register_buffer("broken", torch.tensor([float("nan")]))
    with pytest.raises(ModelError, match="'broken'"):
        check_finite(module, model="m")


@settings(max_examples=25)
@given(index=st.integers(0, 107), bit=st.integers(0, 31))
def test_every_bit_of_every_weight_counts_in_the_digest(index, bit):
    module = net()
    before = weights_digest(module)
    flat = module[0].weight.data.view(torch.int32).view(-1)
    flat[index] ^= int(np.int32(np.uint32(1 << bit)))
    assert weights_digest(module) != before
    flat[index] ^= int(np.int32(np.uint32(1 << bit)))
    assert weights_digest(module) == before


def test_the_digest_knows_names_shapes_and_types():
    def of(name, tensor):
        module = nn.Module()
        module.register_buffer(name, tensor)
        return weights_digest(module)

    variants = [
        of("a", torch.zeros(4)),
        of("b", torch.zeros(4)),
        of("a", torch.zeros(2, 2)),
        of("a", torch.zeros(4, dtype=torch.int32)),
        of("a", torch.zeros(2, dtype=torch.float64)),
    ]
    assert len(set(variants)) == len(variants)
    assert of("a", torch.zeros(4, dtype=torch.bfloat16)) != of("a", torch.zeros(4, dtype=torch.float16))
    assert of("a", torch.arange(6.0).view(2, 3).T) == of("a", torch.arange(6.0).view(2, 3).T.contiguous())
