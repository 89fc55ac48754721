"""Charting and reading an atlas by command line, with small real networks and real files."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from chartable import spec, write_pictures
from modelatlas.atlas import open_atlas
from modelatlas.cli.app import run
from modelatlas.report.page import repeat_command
from report.atlases import write_atlas

ZOO = f"{spec('relu')},{spec('gelu')},{spec('silu')}"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"), 6)


def chart(pictures: Path, out: Path, *options: str, zoo: str = ZOO) -> list[str]:
    return [
        "chart",
        zoo,
        "--probe",
        str(pictures),
        "--out",
        str(out),
        "--grid",
        "8",
        "--trust-code",
        *options,
    ]


@pytest.fixture(scope="module")
def atlas(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("atlas") / "atlas"
    assert run([*chart(pictures, out), "--quiet"]) == 0
    return out


def test_an_atlas_holds_what_the_contract_lists(atlas: Path) -> None:
    for method in ("saliency", "gradient-x-input", "epsilon-lrp"):
        for path in (f"affinity/{method}.csv", f"affinity/{method}.ci.csv", f"tree/{method}.nwk"):
            assert (atlas / path).is_file(), path
        for kind in ("affinity", "tree"):
            assert (atlas / f"figures/{kind}-{method}.svg").is_file()
            with Image.open(atlas / f"figures/{kind}-{method}.png") as picture:
                picture.verify()
    assert {path.name for path in atlas.iterdir()} >= {"atlas.json", "report.html", "maps.zarr", "figures"}
    table = pd.read_csv(atlas / "affinity/saliency.csv", index_col=0)
    assert list(table.index) == list(table.columns) == ZOO.split(",")
    assert (atlas / "affinity/saliency.csv").read_text().startswith(",")


def test_json_is_one_document_and_a_second_call_computes_nothing(
    pictures: Path, atlas: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = (atlas / "affinity/saliency.csv").read_bytes()
    assert run([*chart(pictures, atlas), "--json"]) == 0
    streams = capfd.readouterr()
    document = json.loads(streams.out)
    assert [model["status"] for model in document["models"]] == ["charted"] * 3
    assert document["images"] == 6
    assert len(document["nearest"]["pairs"]) == 3
    assert "all maps are there" in streams.err
    assert (atlas / "affinity/saliency.csv").read_bytes() == before


def test_a_probe_with_fewer_images_than_asked_for_is_told_once(
    pictures: Path, atlas: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(chart(pictures, atlas, "--images", "100")) == 0
    assert capfd.readouterr().err.count("6 of the 100 images asked for: the probe has no more to use\n") == 1
    assert run(chart(pictures, atlas, "--images", "6")) == 0
    assert "asked for" not in capfd.readouterr().err


def test_rank_agrees_with_the_matrix(atlas: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["rank", spec("relu"), "--in", str(atlas), "-k", "2", "--method", "saliency", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    column = pd.read_csv(atlas / "affinity/saliency.csv", index_col=0)[spec("relu")].drop(spec("relu"))
    assert [row["source"] for row in document["sources"]] == list(column.sort_values(ascending=False).index)
    for row in document["sources"]:
        assert row["affinity"] == column[row["source"]]
        assert row["low"] <= row["affinity"] <= row["high"]


def test_rank_says_that_a_model_is_alone(
    pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "atlas"
    assert run([*chart(pictures, out, zoo=spec("relu")), "--quiet"]) == 0
    capfd.readouterr()
    assert run(["rank", spec("relu"), "--in", str(out)]) == 0
    streams = capfd.readouterr()
    assert (streams.out, streams.err.count("\n")) == ("", 1)
    assert "there is no other model" in streams.err
    assert run(["rank", spec("relu"), "--in", str(out), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["sources"] == []


def test_rank_names_the_method_it_takes_by_default(atlas: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["rank", spec("relu"), "--in", str(atlas)]) == 0
    assert "gradient-x-input" in capfd.readouterr().out


def test_untrained_models_are_marked_in_tables(
    pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out, untrained = tmp_path / "atlas", "timm:test_resnet?random=0"
    assert run(chart(pictures, out, "--method", "saliency", zoo=f"{untrained},{spec('relu')}")) == 0
    nearest, models = capfd.readouterr().out.split("target layer")
    assert f"{untrained} (untrained)" in nearest
    assert f"{untrained} (untrained)" in models
    assert f"{spec('relu')} (untrained)" not in nearest + models
    for target, source in ((untrained, spec("relu")), (spec("relu"), untrained)):
        assert run(["rank", target, "--in", str(out), "--method", "saliency"]) == 0
        title, rows = capfd.readouterr().out.split("\n", 1)
        assert [f"{untrained} (untrained)" in part for part in (title, rows)] == [
            name == untrained for name in (target, source)
        ]
        assert run(["rank", target, "--in", str(out), "--method", "saliency", "--json"]) == 0
        document = json.loads(capfd.readouterr().out)
        assert document["trained"] == (target != untrained)
        assert [row["trained"] for row in document["sources"]] == [source != untrained]


def test_rank_takes_the_only_method_and_names_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    atlas = write_atlas(tmp_path / "one", 3, methods=("epsilon-lrp",))
    assert run(["rank", atlas.names[0], "--in", str(atlas.path)]) == 0
    assert "by epsilon-lrp" in capfd.readouterr().out
    assert run(["rank", atlas.names[0], "--in", str(atlas.path), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["method"] == "epsilon-lrp"
    two = write_atlas(tmp_path / "two", 3, methods=("epsilon-lrp", "saliency"))
    assert run(["rank", two.names[0], "--in", str(two.path)]) == 2
    assert "no method 'gradient-x-input'; it has" in capfd.readouterr().err


def test_maps_draws_a_picture_and_report_writes_the_page_again(atlas: Path, tmp_path: Path) -> None:
    out = tmp_path / "maps.png"
    assert run(["maps", str(atlas), "--model", spec("relu"), "--image", "0", "--out", str(out)]) == 0
    with Image.open(out) as picture:
        assert min(picture.size) > 100
    (atlas / "report.html").unlink()
    assert run(["report", str(atlas)]) == 0
    assert (atlas / "report.html").read_text().lstrip().lower().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["rank", "nonsense", "--in", "ATLAS"], "nonsense"),
        (["rank", spec("relu"), "--in", "ATLAS", "--method", "magic"], "magic"),
        (["maps", "ATLAS", "--model", "nonsense", "--image", "0", "--out", "OUT"], "nonsense"),
        (["maps", "ATLAS", "--model", spec("relu"), "--image", "999", "--out", "OUT"], "999"),
        (["report", "OUT"], "OUT"),
    ],
)
def test_what_is_not_there_is_status_2_and_named(
    words: list[str], named: str, atlas: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out.png")
    assert run([{"ATLAS": str(atlas), "OUT": out}.get(word, word) for word in words]) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert named.replace("OUT", out) in error
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--method", "magic"], "magic"),
        (["--grid", "0"], "0"),
        (["--epsilon", "nan"], "epsilon"),
        (["--batch", "many"], "many"),
        (["--device", "abacus"], "abacus"),
        (["--linkage", "chain"], "chain"),
        (["--similarity", "angle"], "angle"),
        (["--exclude", "nobody"], "nobody"),
        (["--layer", "0"], "--layer"),
        (["--precision", "float3"], "float3"),
    ],
)
def test_wrong_options_are_status_2_and_nothing_is_written(
    options: list[str], named: str, pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(chart(pictures, tmp_path / "atlas", *options)) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert named in error
    assert not (tmp_path / "atlas").exists()


@pytest.mark.parametrize(
    ("zoo", "named"),
    [
        ("nonsense", "nonsense"),
        ("timm:no_such_network", "no_such_network"),
        ("magic:net", "magic"),
        (f"{spec('relu')},{spec('relu')}", spec("relu")),
        ("timm:resnet18?colour=red", "colour"),
    ],
)
def test_wrong_zoos_are_status_2_and_nothing_is_written(
    zoo: str, named: str, pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(chart(pictures, tmp_path / "atlas", zoo=zoo)) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert named in error
    assert not (tmp_path / "atlas").exists()


def test_code_runs_only_when_trusted(
    pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [word for word in chart(pictures, tmp_path / "atlas") if word != "--trust-code"]
    assert run(words) == 2
    assert "--trust-code" in capfd.readouterr().err
    assert not (tmp_path / "atlas").exists()


def test_the_command_in_the_report_repeats_the_run(
    pictures: Path, atlas: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its specs are code of the user's, so it trusts them; the probe's folder lies where it is typed."""
    command = repeat_command(open_atlas(atlas))
    assert command in (atlas / "report.html").read_text()
    monkeypatch.chdir(shutil.copytree(pictures, tmp_path / pictures.name).parent)
    assert run([*shlex.split(command)[1:], "--quiet"]) == 0
    assert (Path("atlas") / "affinity/saliency.csv").is_file()


def test_another_similarity_is_told_wherever_affinities_are(
    pictures: Path, atlas: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = shutil.copytree(atlas, tmp_path / "atlas")
    assert run([*chart(pictures, out, "--similarity", "correlation"), "--quiet"]) == 0
    charted = open_atlas(out)
    assert charted.similarity == "correlation"
    for path in ("report.html", "figures/affinity-epsilon-lrp.svg"):
        assert "mean correlation of attribution maps, without sign" in (out / path).read_text(), path
    assert "mean cosine" not in (out / "report.html").read_text()
    assert "--similarity correlation" in repeat_command(charted)
    assert "By gradient-x-input, correlation, 6 images" in capfd.readouterr().out
    assert run(["rank", spec("relu"), "--in", str(out)]) == 0
    assert f"Sources for {spec('relu')} by gradient-x-input, correlation" in capfd.readouterr().out
    assert run(["compare", str(atlas), str(out), "--method", "saliency"]) == 0
    streams = capfd.readouterr()
    assert "(saliency, correlation)" in streams.out
    line = "the first compares maps by cosine, the second by correlation: affinities differ for that alone; "
    assert streams.err.startswith(line)
    assert streams.err.count("\n") == 1
    assert run(["compare", str(out), str(out), "--method", "saliency"]) == 0
    assert capfd.readouterr().err == ""


def test_a_table_that_was_cut_off_is_named_and_made_anew_once_it_is_removed(
    pictures: Path, atlas: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = shutil.copytree(atlas, tmp_path / "atlas")
    for suffix in (".csv", ".ci.csv"):
        table = out / "affinity" / f"gradient-x-input{suffix}"
        whole = table.read_text(encoding="utf-8")
        table.write_text("".join(whole.splitlines(keepends=True)[:-1]), encoding="utf-8")
        for words in (["rank", spec("relu"), "--in", str(out)], ["report", str(out)], chart(pictures, out)):
            assert run([*words, "--quiet"]) == 1
            error = capfd.readouterr().err
            assert error.count("\n") == 1
            assert f"{table} is damaged" in error
            assert "remove it and run the same `modelatlas chart` again" in error
        table.unlink()
        assert run([*chart(pictures, out), "--quiet"]) == 0
        assert table.read_text(encoding="utf-8") == whole


def test_another_grid_is_a_conflict_that_names_both(
    pictures: Path, atlas: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = (atlas / "atlas.json").read_bytes()
    assert run(chart(pictures, atlas, "--grid", "9")) == 2
    error = capfd.readouterr().err
    assert "8" in error
    assert "9" in error
    assert (atlas / "atlas.json").read_bytes() == before


def test_a_model_that_fails_is_left_out_and_strict_makes_that_status_1(
    pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    zoo = f"{spec('relu')},{spec('raising')}"
    assert run(chart(pictures, tmp_path / "atlas", zoo=zoo)) == 0
    shown = capfd.readouterr()
    assert "something of the network's own" in shown.out + shown.err
    assert run(chart(pictures, tmp_path / "atlas", "--strict", zoo=zoo)) == 1
    assert not (tmp_path / "atlas/tree").exists() or not list((tmp_path / "atlas/tree").iterdir())


def test_only_failing_models_are_status_1(
    pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(chart(pictures, tmp_path / "atlas", zoo=spec("raising"))) == 1
    assert "something of the network's own" in capfd.readouterr().err
    assert run(["report", str(tmp_path / "atlas")]) == 1
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert "no model could be charted: " in error
    assert "something of the network's own" in error
    assert not (tmp_path / "atlas/report.html").exists()


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT to a process")
def test_ctrl_c_is_status_130_and_the_same_command_goes_on(pictures: Path, tmp_path: Path) -> None:
    words = chart(pictures, tmp_path / "atlas", "--batch", "1", zoo=f"{spec('slow')},{spec('relu')}")
    started = subprocess.Popen(
        [sys.executable, "-m", "modelatlas.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        start_new_session=True,
    )
    until = time.monotonic() + 120
    while not list((tmp_path / "atlas").glob("journal/*/model.json")):
        assert time.monotonic() < until, "the run did not start"
        time.sleep(0.05)
    os.killpg(started.pid, signal.SIGINT)  # as a terminal does: the worker gets it too
    out, error = started.communicate(timeout=60)
    assert started.returncode == 130
    assert out == ""
    assert "go on" in error.splitlines()[-1]
    assert "Traceback" not in error
    assert run([*words, "--quiet"]) == 0
