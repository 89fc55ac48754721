"""The main job by the commands that users type: the demo, and real pretrained networks on photographs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr

IMAGES = 6
MODELS = ("efficientnet-lite0", "text-detection", "page-orientation")


def modelatlas(*words: str, **environment: str) -> str:
    cache = os.environ.get("MODELATLAS_CACHE") or str(Path(__file__).parents[1] / ".cache" / "modelatlas")
    done = subprocess.run(
        [sys.executable, "-m", "modelatlas.cli", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "MODELATLAS_CACHE": cache, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_demo_needs_no_network(tmp_path: Path) -> None:
    """What `make demo` runs, with fewer images, an empty cache, and a proxy that nobody answers."""
    out = str(tmp_path / "atlas")
    alone = {"MODELATLAS_CACHE": str(tmp_path / "cache")}
    alone |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    words = ["--probe", "rooms", "--images", "8", "--out", out, "--json"]
    document = json.loads(modelatlas("chart", "mini", *words, **alone))
    assert [(m["status"], m["trained"]) for m in document["models"]] == [("charted", True)] * 20
    for method in ("saliency", "gradient-x-input", "epsilon-lrp"):
        words = ["--in", out, "--method", method, "--reference", "mini", "--json"]
        found = json.loads(modelatlas("evaluate", *words, **alone))
        assert (found["targets"], found["sources"], found["ignored"]["affinity"]) == (18, 20, [])
        assert found["precision_at"]["5"] > found["random_precision"]


@pytest.mark.network
def test_chart_rank_maps_and_extension(tmp_path: Path) -> None:
    out = tmp_path / "atlas"
    specs = ",".join(f"package:{name}" for name in MODELS)
    words = ["chart", specs, "--probe", "photos", "--images", str(IMAGES), "--out", str(out), "--json"]
    document = json.loads(modelatlas(*words))
    assert [model["status"] for model in document["models"]] == ["charted"] * len(MODELS)
    assert all(model["trained"] for model in document["models"])

    table = pd.read_csv(out / "affinity/gradient-x-input.csv", index_col=0)
    values = table.to_numpy()
    np.testing.assert_array_equal(values, values.T)
    np.testing.assert_array_equal(np.diag(values), 1.0)

    # Affinity once more, from the stored maps by plain Zarr and NumPy.
    first, second = (
        group["gradient-x-input"][:].astype(np.float64).reshape(IMAGES, -1)
        for _, group in sorted(zarr.open_group(out / "maps.zarr", mode="r").groups())
        if group.attrs["model"] in {f"package:{name}" for name in MODELS[:2]}
    )
    mean = np.mean(np.sum(first * second, axis=1))
    np.testing.assert_allclose(table.iloc[0, 1], mean, atol=1e-12)

    ranking = json.loads(modelatlas("rank", f"package:{MODELS[0]}", "--in", str(out), "--json"))
    assert {row["source"] for row in ranking["sources"]} == {f"package:{name}" for name in MODELS[1:]}

    # Nothing is left to do: no model is loaded again.
    again = json.loads(modelatlas(*words))
    assert [m["seconds"] for m in again["models"]] == [m["seconds"] for m in document["models"]]

    # Two more images cost two images, and the first six keep their maps.
    words[5] = str(IMAGES + 2)
    before = set((out / "journal").rglob("*.json"))
    assert json.loads(modelatlas(*words))["images"] == IMAGES + 2
    assert before == set((out / "journal").rglob("*.json"))
    root = zarr.open_group(out / "maps.zarr", mode="r")
    name, group = next(iter(sorted(root.groups())))
    assert group["saliency"].shape[0] == IMAGES + 2, name
    page = (out / "report.html").read_text()
    assert all(name in page for name in MODELS)
