"""`modelatlas compare` on two atlases and on CSV files."""

import json

import numpy as np
import pandas as pd
import pytest

from modelatlas.atlas import Atlas
from modelatlas.cli import app as frame
from modelatlas.evaluation import TransferTable, compare
from modelatlas.report.comparison_figures import _matrices
from report.atlases import write_atlas


@pytest.fixture(scope="module")
def atlases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Atlas, Atlas]:
    folder = tmp_path_factory.mktemp("atlases")
    return tuple(
        write_atlas(folder / f"seed-{seed}", count, methods=("gradient-x-input", "saliency"), seed=seed)
        for seed, count in ((0, 10), (1, 12))
    )


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = frame.run(["compare", *map(str, words)])
    out, err = capsys.readouterr()
    return status, out, err


def test_two_atlases(capsys, atlases):
    first, second = atlases
    status, out, _ = run(capsys, first.path, second.path, "--json", "--permutations", "99")
    got = json.loads(out)
    assert status == 0
    assert (got["models"], got["pairs"], got["method"]) == (10, 45, "gradient-x-input")
    models = list(first.names)
    pairs = [atlas.affinity().loc[models, models].where(~np.eye(10, dtype=bool)).stack() for atlas in atlases]
    assert got["pearson"] == pytest.approx(pairs[0].corr(pairs[1]))
    assert set(got["group_purity"]) == {"first", "second"}
    assert got["only_in"] == {"first": [], "second": list(second.names[10:])}


def test_untrained_models_are_told_of_on_either_side(capsys, atlases):
    first, second = atlases
    (name,) = first.untrained
    csv = first.path / "affinity" / "gradient-x-input.csv"
    line = f"warning: 1 of the compared models has untrained weights ({name})\n"
    for sides in ((first.path, second.path), (first.path, csv), (csv, first.path)):
        _, out, err = run(capsys, *sides, "--permutations", "9", "--json", "--quiet")
        assert err == line
        assert json.loads(out)["untrained"] == [name]
    _, out, err = run(capsys, csv, csv, "--permutations", "9", "--json")
    assert (err, json.loads(out)["untrained"]) == ("", [])


def test_an_atlas_and_its_own_csv_are_one(capsys, atlases):
    atlas = atlases[0]
    csv = atlas.path / "affinity" / "saliency.csv"
    status, out, _ = run(capsys, csv, atlas.path, "-m", "saliency", "--json", "--permutations", "99")
    got = json.loads(out)
    assert status == 0
    assert got["spearman"] == pytest.approx(1)
    assert got["trees"]["robinson_foulds"] == 0
    assert got["group_purity"] is not None


def test_the_table_names_both_and_the_method(capsys, atlases):
    first, second = atlases
    status, out, err = run(capsys, first.path, second.path, "--permutations", "99", "--linkage", "average")
    assert status == 0
    for word in (
        "seed-0 (gradient-x-input)",
        "Mantel p",
        "Robinson-Foulds",
        "average linkage",
        "group purity",
    ):
        assert word in out
    assert "only in the second: " in err


def test_the_only_method_is_taken_and_two_are_refused(capsys, atlases, tmp_path):
    single = write_atlas(tmp_path / "single", 4, methods=("saliency",))
    status, out, _ = run(capsys, single.path, single.path, "--permutations", "9")
    assert status == 0
    assert "single (saliency)" in out
    status, out, err = run(capsys, atlases[0].path, single.path)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "(gradient-x-input) and" in err
    assert "(saliency): two methods; name one that both have with --method" in err
    assert run(capsys, atlases[0].path, single.path, "-m", "saliency", "--permutations", "9")[0] == 0


def test_figures_are_drawn(capsys, atlases, tmp_path):
    first, second = atlases
    status, _, err = run(capsys, first.path, second.path, "--permutations", "9", "--figures", tmp_path)
    assert status == 0
    assert err.count("drawn: ") == 4
    assert (tmp_path / "compare-matrices.png").stat().st_size > 1000


def test_untrained_models_are_marked_in_figures(atlases):
    tables = [TransferTable.from_frame(atlas.affinity(), origin=str(atlas.path)) for atlas in atlases]
    sheet = _matrices(compare(*tables, permutations=9), ("a", "b"), atlases[0].untrained)
    marked = {text.get_text() for text in sheet.figure.texts if "(untrained)" in text.get_text()}
    assert marked == {f"{name} (untrained)" for name in atlases[0].untrained}


def test_wrong_use_is_status_2_and_one_line(capsys, atlases, tmp_path):
    csv = tmp_path / "other.csv"
    pd.DataFrame([[1, 0], [0, 1]], index=["p", "q"], columns=["p", "q"]).to_csv(csv)
    for words, message in (
        ((atlases[0].path, csv), "share 0 models, too few to compare"),
        (
            (atlases[0].path, tmp_path / "nowhere"),
            "nowhere: no such file: name a CSV file or the folder of an atlas",
        ),
        ((atlases[0].path, atlases[1].path, "--linkage", "median"), "unknown linkage 'median'"),
        ((atlases[0].path, tmp_path), "atlas"),
    ):
        status, out, err = run(capsys, *words)
        assert (status, out) == (2, "")
        assert message in err
        assert err.count("\n") == 1
