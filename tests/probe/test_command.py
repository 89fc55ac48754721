"""`modelatlas probe` as it is typed."""

import json

import pytest

from modelatlas.cli.app import run
from modelatlas.probe import open_probe


def test_list(capsys):
    assert run(["probe", "list"]) == 0
    out = capsys.readouterr().out
    assert "photos" in out
    assert "noise" in out
    assert run(["probe", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"photos", "noise", "taskonomy", "indoor", "coco"} <= {row["name"] for row in rows}


def test_show_a_folder(pictures, capsys):
    for number in range(12):
        (pictures / f"bad{number:02d}.jpg").write_bytes(b"bad%d" % number)
    assert run(["probe", "show", str(pictures)]) == 0
    said = capsys.readouterr()
    assert "12 of 24" in said.out
    assert open_probe(pictures).digest in said.out
    assert "not a picture of a kind" in said.err
    assert "12 files were left out; --verbose names all of them" in said.err
    assert said.err.count("left out: bad") == 10
    assert run(["probe", "show", str(pictures), "--verbose"]) == 0
    assert capsys.readouterr().err.count("left out: bad") == 12


def test_show_json_is_the_manifest(pictures, draw, capsys):
    draw(pictures / "漢字.png", seed=50)
    draw(pictures / "\udcff.png", seed=51)
    assert run(["probe", "show", str(pictures), "--images", "3", "--seed", "8", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    probe = open_probe(pictures, images=3, seed=8)
    assert shown["digest"] == probe.digest
    assert [image["id"] for image in shown["images"]] == [image.id for image in probe.images]
    assert run(["probe", "show", str(pictures), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert "漢字.png" in {image["path"] for image in shown["images"]}
    assert shown["left_out"] == [{"item": r"\udcff.png", "reason": "its name is not UTF-8: rename it"}]


def test_build_and_show_what_was_built(pictures, tmp_path, capsys):
    out = tmp_path / "built"
    assert run(["probe", "build", str(pictures), "--out", str(out), "--images", "4", "--quiet"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")
    assert run(["probe", "show", str(out / "manifest.json"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["images"]) == 4
    assert run(["probe", "build", str(pictures), "--out", str(out)]) == 2
    assert "there is something in it already" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["show", "phtos"], ["build", "phtos", "--out", "x"]], ids=" ".join)
def test_an_unknown_probe_is_status_2(words, capsys):
    assert run(["probe", *words]) == 2
    assert "did you mean photos?" in capsys.readouterr().err
