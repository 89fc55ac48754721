"""The encoders of `modelatlas-mini` as they ship: their cards are right, their maps can mean something."""

import hashlib
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from modelatlas.attribution import attribute
from modelatlas.attribution.budget import relevance_budget
from modelatlas.fetch import mini_data
from modelatlas.probe import open_probe
from modelatlas.zoo import card, load
from modelatlas.zoo.architectures.mini import CODE

DATA = mini_data(needed_for="a test")
CARDS = {entry["task"]: entry for entry in json.loads((DATA / "cards.json").read_text())}


@pytest.fixture(scope="module")
def rooms():
    probe = open_probe("rooms", images=4)
    size = card("mini:autoencoder").input
    return torch.from_numpy(np.stack([size.tensor(probe.square(place)) for place in range(len(probe))]))


@pytest.mark.parametrize("task", CARDS)
def test_card_tells_the_file_and_its_training(task):
    entry, data = CARDS[task], (DATA / CARDS[task]["file"]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == entry["sha256"] == card(f"mini:{task}").weights[0].sha256
    made = json.loads((DATA / "trainings" / f"{task}.json").read_text())
    assert made["about"]["goal"]["task"] == task
    assert f"{made['score']['ratio']:.2f} of the best constant" in str(card(f"mini:{task}").notes)
    assert made["score"]["ratio"] == entry["score"]["ratio"]
    assert entry["curve"][-1][0] == entry["training"]["steps"] == made["about"]["course"]["steps"]


@pytest.mark.parametrize("task", CARDS)
def test_every_task_was_learned(task):
    """At least 15 % better than the best constant answer, and better than a readout of a random encoder."""
    assert CARDS[task]["score"]["ratio"] <= 0.85
    assert CARDS[task]["score"]["ratio_random"] < 1


def test_all_networks_had_the_same_training():
    def shared(entry):
        return {key: value for key, value in entry["training"].items() if key != "arithmetic"}

    assert len({json.dumps(shared(entry), sort_keys=True) for entry in CARDS.values()}) == 1
    assert len({entry["sha256"] for entry in CARDS.values()}) == 20


@pytest.mark.parametrize("task", CARDS)
def test_encoder_gives_a_living_code_that_is_never_negative(task, rooms):
    network = load(f"mini:{task}").module
    code = network(rooms)
    assert code.shape == (4, *CODE)
    assert code.min() == 0
    assert ((code > 0).float().mean((0, 2, 3)) > 0.01).all()
    stored = load_file(DATA / CARDS[task]["file"])
    assert {value.dtype for value in stored.values() if value.ndim > 1} == {torch.float16}


@pytest.mark.parametrize("task", CARDS)
def test_relevance_adds_up_exactly(task, rooms):
    """T = sum(x * g) + constants' share + what epsilon absorbs (method.md), in float64."""
    network = load(f"mini:{task}").module.double()
    budget = relevance_budget(network, rooms.double(), layer="code")
    assert budget.error < 1e-13
    maps = attribute(network, rooms.double(), layer="code")
    assert maps["epsilon-lrp"].sum().item() == pytest.approx(budget.inputs, rel=1e-9)


def test_colorization_sees_no_colour(rooms):
    network = load("mini:colorization").module
    luma = (rooms * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    torch.testing.assert_close(network(rooms), network(luma.expand_as(rooms)), atol=2e-3, rtol=1e-3)
