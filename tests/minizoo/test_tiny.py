"""The whole maker, from nothing to a chart of its networks: real rooms, two tasks, few steps."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("skimage", reason="labels need scikit-image")

from minizoo.paths import REPO

TASKS = "rgb2depth,edge2d"
LEARNING = ("--tiny", "--steps", "6", "--readout-steps", "4")


@pytest.mark.timeout(900)
def test_from_nothing_to_a_chart_of_networks_on_rendered_rooms(renderer, tmp_path):
    render, cache = renderer(tmp_path / "cache")
    rendered = render("render", "--tiny", "--workers", "2")
    assert rendered.returncode == 0, rendered.stderr

    data, out = tmp_path / "site" / "modelatlas_mini", tmp_path / "atlas"
    environment = os.environ | {
        "MINIZOO_CACHE": str(cache), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(data.parent),
    }  # fmt: skip

    def python(*words):
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=REPO,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    learning = (*LEARNING, "--home", str(data))
    python("minizoo", "train", *learning, "--tasks", TASKS)
    python("minizoo", "transfer", *learning, "--sources", TASKS, "--targets", TASKS)
    assert "2 encoders, 4 transfers to 2 targets, 2 probe views" in python("minizoo", "package", *learning)
    (data / "__init__.py").touch()
    specs = ",".join(f"mini:{task}" for task in TASKS.split(","))
    python("modelatlas.cli", "chart", specs, "--probe", "rooms", "--out", str(out), "--grid", "16", "--quiet")
    models = json.loads((out / "atlas.json").read_text())["models"]
    assert {model["status"] for model in models.values()} == {"charted"}
    assert {model["group"] for model in models.values()} == {"2D", "3D"}
    shown = json.loads(python("modelatlas.cli", "zoo", "show", "mini:rgb2depth", "--json"))
    assert shown["weights"][0]["sha256"] == json.loads((data / "cards.json").read_text())[1]["sha256"]
    assert shown["layer_shape"] == [8, 8, 8]
