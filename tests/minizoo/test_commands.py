import json
import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("skimage", reason="labels need scikit-image")

from minizoo.__main__ import main
from minizoo.losses import TASKS
from minizoo.paths import REPO
from minizoo.worker import Site
from tests.minizoo.test_transfer import write_shard


def test_an_unknown_task_is_one_line_and_nothing_is_trained(capsys):
    assert main(["train", "--tiny", "--tasks", "depth", "--processes", "1"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: no task is called 'depth': choose from autoencoder, ")
    assert err.count("\n") == 1


def test_no_views_is_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("minizoo.paths.WORK", tmp_path)
    assert main(["train", "--tiny", "--processes", "1"]) == 1
    assert (
        "no finished building of the split train. Run `python -m minizoo render` first."
        in capsys.readouterr().err
    )


def test_scores_of_nothing_are_a_head(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("minizoo.workplace.LEARNING", tmp_path)
    assert main(["scores", "--tiny"]) == 0
    assert capsys.readouterr().out.split()[:3] == ["task", "ratio", "ratio_random"]


@pytest.mark.slow
def test_processes_share_the_tasks_and_a_second_call_finds_all_done(tmp_path):
    recipe = Site(tiny=True).recipe
    shards = tmp_path / "work" / recipe / "views"
    for seed, name in enumerate(("train-tiny", "test-tiny")):
        write_shard(shards, name, 3, seed, recipe=recipe, step=2)
    environment = {**os.environ, "MINIZOO_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1"}

    def call(*words):
        command = [sys.executable, "-m", "minizoo", *words, "--tiny", "--steps", "4", "--readout-steps", "4"]
        command += ["--home", str(tmp_path / "mini")]
        return subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, timeout=400)

    labelled = subprocess.run(
        [sys.executable, "-m", "minizoo", "prepare", "--tiny"],
        cwd=REPO, env=environment, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert labelled.stdout.endswith("2 buildings are labelled; run it again when more are rendered\n")
    tasks = "rgb2depth,class_places,edge2d"
    first = call("train", "--tasks", tasks)
    assert first.returncode == 0, first.stderr
    assert "labels of" not in first.stdout
    assert sum("of the best constant's loss" in line for line in first.stdout.splitlines()) == 3
    second = call("train", "--tasks", tasks)
    assert second.stdout == ""
    done = call("transfer", "--sources", tasks, "--targets", "rgb2depth")
    assert done.returncode == 0, done.stderr
    assert call("scores").stdout.count("\n") == 4
    packed = call("package")
    assert ": 3 encoders, 6 transfers to 1 targets" in packed.stdout
    cards = json.loads((tmp_path / "mini" / "cards.json").read_text())
    assert [card["task"] for card in cards] == [t.name for t in TASKS if t.name in tasks.split(",")]
    with np.load(tmp_path / "mini" / "transfers" / "rgb2depth-11.npz") as kept:
        assert kept["losses"].shape == (6, 6)
