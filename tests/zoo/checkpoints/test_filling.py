"""A network is filled whole from its own checkpoint; any other is refused by names."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from modelatlas.errors import ModelError
from modelatlas.zoo.checkpoints import (
    Checkpoint,
    NameTable,
    Slot,
    StoredArray,
    filled,
    normed,
    unused_of,
)


def checkpoint(arrays) -> Checkpoint:
    stored = {name: StoredArray(array.shape, array.copy) for name, array in arrays.items()}
    return Checkpoint(Path("model.ckpt"), "pickle", stored)


class Net(nn.Module):
    """One layer of each layout."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, (2, 5), bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.depth = nn.Conv2d(4, 4, 3, groups=4, bias=False)
        self.up = nn.ConvTranspose2d(4, 2, 3, bias=False)
        self.full = nn.Linear(2, 6)
        self.logits = nn.Linear(6, 7, bias=False)


NAMES = NameTable(
    slots={
        "conv.weight": Slot("conv/weights", "HWIO"),
        **normed("norm", "conv"),
        "depth.weight": Slot("depth/depthwise_weights", "HWCM"),
        "up.weight": Slot("up/weights", "HWIO"),
        "full.weight": Slot("full/weights", "IO"),
        "full.bias": Slot("full/biases"),
        "logits.weight": Slot("logits/weights", "11IO"),
    },
    anchor="logits/weights",
    unused=(r"net/decoder/",),
)
SHAPES = {
    "conv/weights": (2, 5, 3, 4),
    "conv/BatchNorm/beta": (4,),
    "conv/BatchNorm/gamma": (4,),
    "conv/BatchNorm/moving_mean": (4,),
    "conv/BatchNorm/moving_variance": (4,),
    "depth/depthwise_weights": (3, 3, 4, 1),
    "up/weights": (3, 3, 2, 4),
    "full/weights": (2, 6),
    "full/biases": (6,),
    "logits/weights": (1, 1, 6, 7),
}  # fmt: skip
RANDOM = np.random.default_rng(0)
ARRAYS = {f"net/{name}": RANDOM.standard_normal(shape).astype("f4") for name, shape in SHAPES.items()}


def test_every_layout_lands_where_torch_wants_it():
    state = filled(checkpoint(ARRAYS), Net(), NAMES, model="m").state
    assert state["conv.weight"][3, 2, 1, 4] == ARRAYS["net/conv/weights"][1, 4, 2, 3]
    assert state["depth.weight"][3, 0, 1, 2] == ARRAYS["net/depth/depthwise_weights"][1, 2, 3, 0]
    assert state["up.weight"][3, 1, 0, 2] == ARRAYS["net/up/weights"][0, 2, 1, 3]
    assert state["full.weight"][5, 1] == ARRAYS["net/full/weights"][1, 5]
    assert state["logits.weight"][6, 5] == ARRAYS["net/logits/weights"][0, 0, 5, 6]
    assert state["norm.running_var"][2] == ARRAYS["net/conv/BatchNorm/moving_variance"][2]
    assert set(state) == {name for name in Net().state_dict() if "num_batches" not in name}


@pytest.mark.parametrize("scope", ["", "net/", "feedforward/net/"])
def test_the_scope_is_found(scope):
    moved = {scope + name.removeprefix("net/"): array for name, array in ARRAYS.items()}
    assert filled(checkpoint(moved), Net(), NAMES, model="m").scope == scope


def test_what_training_leaves_is_counted():
    left = {
        "net/conv/weights/Adam": ARRAYS["net/conv/weights"],
        "net/conv/weights/Adam_1": ARRAYS["net/conv/weights"],
        "net/full/biases/Momentum": ARRAYS["net/full/biases"],
        "net/conv/weights/ExponentialMovingAverage": ARRAYS["net/conv/weights"],
        "global_step": np.array(7),
        "learning_rate": np.array(0.1),
        "net/decoder/conv/weights": np.zeros((1, 1, 2, 2)),
        "net/decoder/conv/biases": np.zeros(2),
    }
    filling = filled(checkpoint(ARRAYS | left), Net(), NAMES, model="m")
    assert set(filling.unused) == set(left)
    assert unused_of(filling) == {
        "Adam": 1, "Adam_1": 1, "Momentum": 1, "ExponentialMovingAverage": 1, "global_step": 1,
        "learning_rate": 1, "decoder": 2,
    }  # fmt: skip


def test_missing_and_transposed_and_unknown_variables_are_named_together():
    arrays = dict(ARRAYS)
    del arrays["net/full/biases"]
    arrays["net/conv/weights"] = arrays["net/conv/weights"].transpose(3, 2, 0, 1)
    arrays["net/other/weights"] = np.zeros((2, 2))
    with pytest.raises(ModelError) as error:
        filled(checkpoint(arrays), Net(), NAMES, model="slim:x")
    assert str(error.value) == (
        "slim:x: model.ckpt is not its checkpoint: 1 variables missing: net/full/biases; 1 variables of "
        "another shape: net/conv/weights is 4 x 3 x 2 x 5 for 2 x 5 x 3 x 4; 1 variables unknown: "
        "net/other/weights. Nothing was loaded; give the file that belongs to it"
    )


def test_a_long_list_is_cut():
    more = {f"net/block{number}/weights": np.zeros(3) for number in range(9)}
    with pytest.raises(ModelError, match=r"9 variables unknown: net/block0/weights, .* and 4 more"):
        filled(checkpoint(ARRAYS | more), Net(), NAMES, model="m")


def test_another_model_is_told_by_its_first_names():
    with pytest.raises(ModelError, match=r"'logits/weights' is not in it \(encoder/conv1/weights, \.\.\.\)"):
        filled(checkpoint({"encoder/conv1/weights": np.zeros(3)}), Net(), NAMES, model="m")
    twice = ARRAYS | {"other/logits/weights": ARRAYS["net/logits/weights"]}
    with pytest.raises(ModelError, match=r"under several scopes \('net/', 'other/'\)"):
        filled(checkpoint(twice), Net(), NAMES, model="m")


def test_a_constant_keeps_its_value():
    net = nn.BatchNorm2d(4)
    slots = normed("", "bn", scale=False)
    names = NameTable({name.lstrip("."): slot for name, slot in slots.items()}, anchor="bn/BatchNorm/beta",
                      constant=frozenset({"weight"}))  # fmt: skip
    arrays = {f"bn/BatchNorm/{part}": np.full(4, 2.0) for part in ("beta", "moving_mean", "moving_variance")}
    state = filled(checkpoint(arrays), net, names, model="m").state
    assert state["weight"].tolist() == [1.0] * 4
    assert state["bias"].dtype == torch.float32


@given(lost=st.sampled_from(sorted(ARRAYS)), data=st.data())
def test_no_variable_can_be_missing_or_of_another_shape(lost, data):
    arrays = dict(ARRAYS)
    if data.draw(st.booleans()):
        del arrays[lost]
    else:
        arrays[lost] = np.zeros((*arrays[lost].shape[:-1], arrays[lost].shape[-1] + 1))
    with pytest.raises(ModelError, match=lost.removeprefix("net/")):
        filled(checkpoint(arrays), Net(), NAMES, model="m")
