"""Loading: options that hold for every source, errors that say how to go on, nothing global touched."""

import pytest
import torch
from torch import nn

from modelatlas.errors import InputError, ModelError
from modelatlas.zoo import Preprocess, architecture, card, fetch_weights, load

NETS = r"""
import torch
from torch import nn
from modelatlas.zoo import Preprocess

def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))

def paired():
    return nn.Conv2d(1, 2, 3), Preprocess(height=32, width=48, mean=(0.5,), std=(0.25,), channel_order="L")

def training():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(0.5)).train()

def text():
    return "a network"

def crash():
    raise RuntimeError("out of luck")

def leave():
    import sys

    sys.exit(3)

def parse():
    import argparse

    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.parse_args(["--epochs", "3"])

def interrupt():
    raise KeyboardInterrupt

def wordy():
    raise RuntimeError("\x1b[1mout of luck\x1b[0m:\n\ttry again\n\n")

def nan():
    net = small()
    with torch.no_grad():
        net[0].bias[1] = float("nan")
    return net

number = 3
net = nn.Identity()
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """A module of the user's own, found in the current folder as `python -m` would find it."""
    import sys

    (tmp_path / "my_nets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    yield "python:my_nets"
    sys.modules.pop("my_nets", None)


def test_a_users_network(nets):
    model = load(f"{nets}:small", trust_code=True)
    assert isinstance(model.module, nn.Sequential)
    assert model.card.parameters == 3 * 4 * 9 + 4 + 8 + 2
    assert model.preprocess == Preprocess(height=224, width=224)
    assert model.layer is None
    assert load(f"{nets}:small?size=64", trust_code=True).preprocess.height == 64
    assert load(f"{nets}:small?layer=0", trust_code=True).layer == "0"


def test_a_factory_may_say_what_its_network_expects(nets):
    model = load(f"{nets}:paired", trust_code=True)
    assert (model.preprocess.height, model.preprocess.width, model.preprocess.channels) == (32, 48, 1)
    assert model.card.input == model.preprocess


def test_code_runs_only_when_trusted(nets, tmp_path):
    (tmp_path / "my_nets.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(InputError, match=r"add --trust-code .* Nothing was run"):
        load(f"{nets}:small")
    with pytest.raises(InputError, match="--trust-code"):
        architecture(f"{nets}:small")
    card(f"{nets}:small")  # a card is data


def test_the_search_path_is_left_as_it_was(nets):
    import sys

    before = list(sys.path)
    load(f"{nets}:small", trust_code=True)
    with pytest.raises(InputError):
        load("python:absent_module:make", trust_code=True)
    assert sys.path == before


@pytest.mark.parametrize(
    ("factory", "error", "message"),
    [
        ("text", ModelError, r"text\(\) returned str; it must return a torch\.nn\.Module"),
        ("crash", ModelError, "cannot be built: RuntimeError: out of luck"),
        ("leave", ModelError, "cannot be built: SystemExit: 3$"),
        ("parse", ModelError, "cannot be built: SystemExit: 2$"),
        ("wordy", ModelError, "cannot be built: RuntimeError: out of luck: try again$"),
        ("nan", ModelError, "weights contain NaN or infinity in '0.bias'"),
        ("absent", InputError, "my_nets has no callable 'absent'"),
        ("number", InputError, "my_nets has no callable 'number'"),
        ("net", InputError, r"my_nets\.net is a network, not what makes one; .*`def make\(\): return net`"),
        ("small?size=big", InputError, "size=big is no number of pixels"),
        ("small?layer=9", InputError, "no layer '9' in it; `modelatlas zoo layers 'python:my_nets:small'`"),
    ],
)
def test_what_goes_wrong_is_named(nets, factory, error, message):
    with pytest.raises(error, match=message) as caught:
        load(f"{nets}:{factory}", trust_code=True)
    assert f"{nets}:{factory}" in str(caught.value)


def test_a_script_that_leaves_when_it_is_imported_ends_nothing_else(nets, tmp_path):
    (tmp_path / "my_nets.py").write_text("import sys\nsys.exit('usage: train.py DATA')")
    with pytest.raises(ModelError, match=r"cannot be built: SystemExit: usage: train\.py DATA"):
        load(f"{nets}:small", trust_code=True)


def test_ctrl_c_is_nobodys_failure(nets):
    with pytest.raises(KeyboardInterrupt):
        load(f"{nets}:interrupt", trust_code=True)


@pytest.mark.parametrize(
    "name", ["python:my_nets", "python:my_nets:", "python:my nets:a", "python:../x:a", "python::a"]
)
def test_a_malformed_factory(nets, name):
    with pytest.raises(InputError):
        load(name, trust_code=True)


def test_a_missing_module_is_named(nets):
    with pytest.raises(InputError, match="no module 'absent' in the current folder"):
        load("python:absent.nets:make", trust_code=True)


def test_networks_come_in_eval_mode(nets):
    assert not any(module.training for module in load(f"{nets}:training", trust_code=True).module.modules())


def test_random_weights_follow_their_seed_alone(nets):
    def digest(seed, global_seed):
        torch.manual_seed(global_seed)
        torch.rand(global_seed)
        return load(f"{nets}:small?random={seed}", trust_code=True).weights_digest

    assert digest(0, 1) == digest(0, 2) != digest(1, 1)


def test_an_own_checkpoint_replaces_the_weights(nets, tmp_path):
    torch.save(load(f"{nets}:small?random=7", trust_code=True).module.state_dict(), tmp_path / "w.pt")
    model = load(f"{nets}:small?weights={tmp_path / 'w.pt'}", trust_code=True)
    assert model.weights_digest == load(f"{nets}:small?random=7", trust_code=True).weights_digest
    assert model.card.trained
    (file,) = model.card.weights
    assert (file.url, file.bytes, file.format) == (
        str(tmp_path / "w.pt"),
        (tmp_path / "w.pt").stat().st_size,
        "torch",
    )


def test_an_own_checkpoint_must_be_there_before_anything_runs(nets, tmp_path):
    (tmp_path / "my_nets.py").write_text("raise SystemExit('it ran')")
    for ask in (card, architecture, load):
        options = {} if ask is card else {"trust_code": True}
        with pytest.raises(InputError, match=r"there is no weights file nope\.pt; check weights="):
            ask(f"{nets}:small?weights=nope.pt", **options)


def test_an_unknown_source_or_key_is_named(nets):
    with pytest.raises(InputError, match=r"unknown source 'tim'; known are .*timm"):
        card("tim:resnet18")
    with pytest.raises(InputError, match="unknown key 'size'; timm: takes weights, layer, random"):
        card("timm:resnet18?size=3")


def test_what_needs_no_weights_fetches_none(nets, tmp_path):
    assert fetch_weights(f"{nets}:small") == []
    assert fetch_weights("timm:resnet18?random=0") == []
    with pytest.raises(InputError, match=r"fetches nothing; name your file with \?weights="):
        fetch_weights(f"{nets}:small", file=tmp_path / "w.pt")
