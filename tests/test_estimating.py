"""An estimate says what a run will do, and does not do it."""

import json
import re

import pytest

from chartable import chart_small, spec, write_pictures
from modelatlas.cli import progress
from modelatlas.cli.app import run
from modelatlas.errors import InputError
from modelatlas.estimating import estimate
from modelatlas.run import Settings
from modelatlas.store import SHARD

MODELS = [spec("relu"), spec("slow"), spec("raising")]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"), 3 * SHARD)


def test_it_measures_every_model_and_writes_nothing(pictures, tmp_path):
    out = tmp_path / "atlas"
    found = estimate(MODELS, pictures, out, Settings(grid=8, threads=1, batch=8), trust_code=True)
    assert not out.exists()
    relu, slow, raising = found.models
    assert "something of the network's own" in raising.reason
    assert relu.left == slow.left == 3 * SHARD
    # 0.3 s a batch of 8, twice or three times a pass through the network.
    assert 0.3 / 8 < slow.rate < 4 * 0.3 / 8
    assert relu.rate < slow.rate
    assert found.seconds > slow.seconds > 3 * SHARD * 0.3 / 8
    maps = 2 * 3 * 3 * SHARD * (8 * 8 * 2 + 4)  # models, methods, images, float16 cells and a norm
    assert 0.5 * maps < found.disk
    assert found.memory > 50e6


def test_what_an_atlas_holds_does_not_count(pictures, tmp_path):
    out = tmp_path / "atlas"
    chart_small(out, pictures, "relu", images=SHARD)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    settings = Settings(grid=8, threads=1)
    found = estimate([spec("relu")], pictures, out, settings, trust_code=True)
    assert [model.left for model in found.models] == [2 * SHARD]
    nothing = estimate([spec("relu")], pictures, out, settings, images=SHARD, trust_code=True)
    assert nothing.seconds == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_on_the_command_line(pictures, tmp_path, capsys):
    out = tmp_path / "atlas"
    words = [spec("relu"), "--probe", str(pictures), "--out", str(out), "--estimate", "--trust-code"]
    assert run(["chart", *words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["images"] == 3 * SHARD
    assert document["seconds"] > 0
    assert run(["chart", *words]) == 0
    assert "nothing charted" in capsys.readouterr().err
    talking = [spec("talking"), *words[1:], "--json"]
    assert run(["chart", *talking]) == 0
    out_of_it, aside = capsys.readouterr()
    assert json.loads(out_of_it)["models"][0]["reason"] is None
    assert "made" in aside.split()
    assert run(["chart", *words, "--until", "0.1"]) == 2
    assert not out.exists()


def test_progress_never_passes_its_total(pictures, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    words = [f"{spec('relu')},{spec('gelu')}", "--probe", str(pictures), "--out", str(tmp_path / "atlas")]
    options = ["--images", "6", "--grid", "8", "--batch", "2", "--estimate", "--trust-code"]
    assert run(["chart", *words, *options]) == 0
    err = capsys.readouterr().err
    told = re.findall(r"(\w+): (\d+) of (\d+) images, .* about (\S+) s left", err)
    assert {stage for stage, *_ in told} == {"reading", "decoding", "measuring"}
    assert all(int(done) <= int(total) and int(left) >= 0 for _, done, total, left in told)
    assert ("measuring", "12", "12", "0") in told  # two models, six images each
    assert "to chart" not in err


def test_wrong_input_is_refused_as_by_chart(pictures, tmp_path):
    with pytest.raises(InputError, match="unknown source"):
        estimate("nothing:here", pictures, tmp_path / "atlas", Settings())
