"""`modelatlas evaluate` on atlases and CSV files: the contract's document, tables, notes, statuses."""

import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelatlas.atlas import Atlas
from modelatlas.cli import app as frame
from modelatlas.evaluation import taskonomy
from report.atlases import write_atlas

CONTRACT = {
    *("targets", "sources", "relevant", "spearman", "spearman_with_self", "precision_at", "recall_at"),
    *("random_precision", "fixed_list", "per_target", "ignored"),
}


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return write_atlas(
        tmp_path_factory.mktemp("atlas") / "atlas", 16, methods=("gradient-x-input", "saliency")
    )


@pytest.fixture(scope="module")
def measured(atlas: Atlas, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Measured transfers of the atlas's models: its affinity, disturbed; long form, short names."""
    table = atlas.affinity()
    noise = np.random.default_rng(0).normal(scale=0.2, size=table.shape)
    short = [name.split(":", 1)[1] for name in table.index]
    table = pd.DataFrame(table.to_numpy() + noise, index=short, columns=short)
    path = tmp_path_factory.mktemp("measured") / "measured.csv"
    long = table.rename_axis("source").melt(var_name="target", value_name="affinity", ignore_index=False)
    long.reset_index().sort_values(["source", "target"]).to_csv(path, index=False)
    return path


@pytest.fixture
def csv(atlas: Atlas) -> Path:
    return atlas.path / "affinity" / "gradient-x-input.csv"


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = frame.run(["evaluate", *map(str, words)])
    out, err = capsys.readouterr()
    return status, out, err


def test_the_document_is_the_contracts(capsys, csv, measured):
    status, out, err = run(capsys, "--affinity", csv, "--reference", measured, "--json")
    got = json.loads(out)
    assert (status, err) == (0, "")
    assert set(got) == CONTRACT
    assert (got["targets"], got["sources"]) == (16, 16)
    assert list(got["precision_at"]) == list(got["recall_at"]) == [str(k) for k in range(1, 16)]
    assert set(got["fixed_list"]) == {"spearman", "precision_at"}
    assert set(got["per_target"]["xfeat"]) == {"spearman", "precision_at_5"}
    assert got["random_precision"] == pytest.approx(5 / 15)
    assert 0.2 < got["spearman"] < 1


def test_an_atlas_is_evaluated_by_its_default_method_which_is_named(capsys, atlas, csv, measured):
    whole = json.loads(run(capsys, "--affinity", csv, "--reference", measured, "--json")[1])
    status, out, _ = run(capsys, "--in", atlas.path, "--reference", measured, "--json")
    got = json.loads(out)
    assert status == 0
    assert got.pop("method") == "gradient-x-input"
    assert got == whole
    other = json.loads(
        run(capsys, "--in", atlas.path, "-m", "saliency", "--reference", measured, "--json")[1]
    )
    assert other.pop("method") == "saliency"
    assert other != whole
    assert "(gradient-x-input)" in run(capsys, "--in", atlas.path, "--reference", measured)[1]


def test_untrained_weights_are_warned_of(capsys, atlas, measured):
    _, _, err = run(capsys, "--in", atlas.path, "--reference", measured, "--json", "--quiet")
    assert "warning: 1 of the evaluated models have untrained weights (timm:vit_small" in err
    name = "timm:vit_small_patch16_224.augreg_in21k?random=3"
    _, _, err = run(
        capsys, "--in", atlas.path, "--reference", measured, "--json",
        "--exclude", f"{name},{name.split(':')[1]}", "--exclude", "package:xfeat",
    )  # fmt: skip
    assert "untrained" not in err


def test_the_tables_say_what_is_compared_with_what(capsys, csv, measured):
    status, out, err = run(
        capsys, "--affinity", csv, "--reference", measured, "--noise-reference", measured, "--against", csv
    )
    assert status == 0
    for word in ("prediction", "fixed list", "random order", "oracle", "noise ceiling", "Kendall", "regret"):
        assert word in out
    assert f"Minus {csv}, paired over targets" in out
    assert "rgb2depth" in out
    assert err == ""


def test_what_was_not_used_is_named(capsys, csv, measured):
    _, out, err = run(capsys, "--affinity", csv, "--reference", measured, "--exclude", "package:hed")
    assert "15 targets" in out
    assert "not used of the reference: hed" in err


def test_details_give_every_measure_its_interval(capsys, csv, measured):
    got = json.loads(run(capsys, "--affinity", csv, "--reference", measured, "--json", "--details")[1])
    assert set(got) == CONTRACT | {"details"}
    low, high = got["details"]["interval_95"]["spearman"]
    assert low < got["spearman"] < high


def test_one_of_several_training_sets_by_option_or_with_the_file(capsys, csv, measured, tmp_path):
    long = pd.read_csv(measured)
    both = tmp_path / "both.csv"
    other = long.assign(affinity=np.random.default_rng(1).permutation(long.affinity), training_set="small")
    pd.concat([long.assign(training_set="large"), other]).to_csv(both, index=False)
    want = run(capsys, "--affinity", csv, "--reference", measured, "--json")[1]
    assert run(capsys, "--affinity", csv, "--reference", both, "--training-set", "large", "--json")[1] == want
    assert run(capsys, "--affinity", csv, "--reference", f"{both}:large", "--json")[1] == want
    status, out, err = run(capsys, "--affinity", csv, "--reference", both, "--json")
    assert (status, out) == (2, "")
    assert "several training sets (large, small)" in err


def test_losses_instead_of_a_reference(capsys, csv, measured, tmp_path):
    table = pd.read_csv(measured).pivot(index="source", columns="target", values="affinity")
    rng = np.random.default_rng(2)
    rows = [
        f"{target},{source},{image},{-table.loc[source, target] + 0.1 * rng.normal()}"
        for target in table.columns
        for source in table.index
        for image in range(30)
    ]
    losses = tmp_path / "losses.csv"
    losses.write_text("\n".join(["target,source,image,loss", *rows]))
    got = json.loads(run(capsys, "--affinity", csv, "--losses", losses, "--json")[1])
    want = json.loads(run(capsys, "--affinity", csv, "--reference", measured, "--json")[1])
    assert got["spearman"] == pytest.approx(want["spearman"], abs=0.1)


def test_taskonomy_comes_from_the_cache_once_it_was_fetched(capsys, csv, measured, tmp_path, monkeypatch):
    # A file of the authors' form in the place where a download leaves it.
    monkeypatch.setenv("MODELATLAS_CACHE", str(tmp_path))
    long = pd.read_csv(measured)
    content = pickle.dumps(
        {f"{row.source}__{row.target}": np.float64(row.affinity) for row in long.itertuples()}, protocol=3
    )
    file, _ = taskonomy.FILES["1k"]
    digest = hashlib.sha256(content).hexdigest()
    monkeypatch.setitem(taskonomy.FILES, "1k", (file, digest))
    folder = taskonomy.reference_folder(digest)
    (folder / file).write_bytes(content)
    want = run(capsys, "--affinity", csv, "--reference", measured, "--json")[1]
    assert run(capsys, "--affinity", csv, "--reference", "taskonomy:1k", "--json")[1] == want
    assert (
        run(capsys, "--affinity", csv, "--reference", "taskonomy", "--training-set", "1k", "--json")[1]
        == want
    )
    status, _, err = run(capsys, "--affinity", csv, "--reference", "taskonomy:1k", "--training-set", "16k")
    assert status == 2
    assert "differ" in err


def test_figures_are_drawn(capsys, csv, measured, tmp_path):
    status, out, err = run(
        capsys, "--affinity", csv, "--reference", measured, "--figures", tmp_path, "--json"
    )
    assert status == 0
    json.loads(out)
    assert err.count("drawn: ") == 6
    assert {path.name for path in tmp_path.glob("*.png")} == {
        "evaluation-curves.png",
        "evaluation-targets.png",
        "evaluation-priority.png",
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "either --affinity FILE.csv or --in DIR"),
        (("--affinity", "a.csv", "--in", "b"), "either --affinity FILE.csv or --in DIR"),
        (
            ("--affinity", "a.csv"),
            "either --reference (taskonomy[:16k|:1k|:standard], mini[:again|:half-a|:half-b] or a CSV file)",
        ),
        (("--affinity", "nowhere.csv", "--reference", "r.csv"), "nowhere.csv: no such file"),
        (("--affinity", "CSV", "--reference", "mini-x"), "mini-x: no such file: name taskonomy"),
        (
            ("--affinity", "CSV", "--reference", "mini:2"),
            "mini:2: no such set of measurements: take one of all",
        ),
        (("--affinity", "CSV", "--reference", "taskonomy:2k"), "no such training set: take one of 16k, 1k"),
        (("--affinity", "CSV", "--reference", "REF", "--exclude", "nobody"), "nobody: neither"),
        (("--affinity", "CSV", "--reference", "REF", "--relevant", "0"), "Invalid value for '--relevant'"),
        (("--affinity", "CSV", "--reference", "REF", "--training-set", "16k"), "no column 'training_set'"),
        (("--in", "DIR", "--method", "lime", "--reference", "REF"), "no method 'lime'"),
        (("--in", ".", "--reference", "REF"), "atlas"),
    ],
)
def test_wrong_use_is_status_2_and_one_line(capsys, atlas, csv, measured, words, message):
    names = {"CSV": csv, "REF": measured, "DIR": atlas.path}
    status, out, err = run(capsys, *(names.get(word, word) for word in words))
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
