"""What a user's hand gets of an atlas."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

import modelatlas
from chartable import GRID, chart_small, spec, write_pictures
from modelatlas._types import METHODS
from modelatlas.atlas import Atlas, open_atlas
from modelatlas.errors import InputError, StoreError
from oracles.space import affinity as literal_affinity
from report.atlases import write_atlas


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("atlas")
    pictures = write_pictures(root / "pictures", 10)
    (pictures / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    chart_small(root / "a", pictures, "relu", "gelu", "raising", "silu")
    return root / "a"


@pytest.fixture(scope="module")
def atlas(folder):
    return open_atlas(str(folder))


def test_opening_loads_neither_torch_nor_the_maps(folder):
    """Checked in a process of its own: a report or a ranking needs no torch."""
    import subprocess
    import sys

    code = (
        "import sys; from modelatlas.atlas import open_atlas; "
        f"print(open_atlas({str(folder)!r}).rank({spec('relu')!r}).source[0]); "
        "assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout


def test_the_package_gives_it_lazily(folder):
    assert modelatlas.open_atlas(folder).names == open_atlas(folder).names


def test_models_methods_images_and_what_was_left_out(atlas):
    assert atlas.names == tuple(spec(name) for name in ("relu", "gelu", "silu"))
    assert atlas.methods == METHODS
    assert len(atlas.images()) == 10
    assert [item.item for item in atlas.left_out] == ["broken.png"]
    (excluded,) = (model for model in atlas.models if not model.charted)
    assert excluded.name == spec("raising")
    assert "ZeroDivisionError" in excluded.reason
    relu = atlas.models[0]
    assert (relu.spec, relu.input_size, relu.trained) == (spec("relu"), (16, 16), True)
    assert relu.live == dict.fromkeys(METHODS, 10)
    assert "3 models, 10 images" in repr(atlas)
    assert atlas.settings["grid"] == GRID


@pytest.mark.parametrize("method", METHODS)
def test_maps_are_those_that_the_affinity_was_computed_from(atlas, method):
    """By the literal twin of the formula, to the last bit but a few."""
    maps = np.stack([atlas.maps(name)[method].astype(np.float64).reshape(10, -1) for name in atlas.names])
    np.testing.assert_allclose(atlas.affinity(method).to_numpy(), literal_affinity(maps), rtol=0, atol=1e-12)


def test_affinity_is_symmetric_with_a_unit_diagonal_and_within_its_interval(atlas):
    values = atlas.affinity()
    assert list(values.index) == list(values.columns) == list(atlas.names)
    np.testing.assert_array_equal(values, values.T)
    np.testing.assert_array_equal(np.diag(values), 1)
    long = atlas.interval()
    assert list(long.columns) == ["source", "target", "affinity", "low", "high"]
    assert ((long.low <= long.affinity) & (long.affinity <= long.high)).all()
    assert all(row.affinity == values.loc[row.source, row.target] for row in long.itertuples())


@pytest.mark.parametrize(
    ("methods", "default"),
    [
        (("saliency",), "saliency"),
        (("saliency", "gradient-x-input"), "gradient-x-input"),
        (("saliency", "epsilon-lrp"), "gradient-x-input"),  # which it lacks: one must be named
    ],
)
def test_the_only_method_is_the_default(tmp_path, methods, default):
    assert write_atlas(tmp_path, 2, methods=methods).default_method == default


def test_what_a_table_is_given_to_does_not_change_it(atlas):
    table = atlas.affinity()
    table.iloc[0, 1] = 7
    assert atlas.affinity().iloc[0, 1] != 7


def test_ranking_is_by_falling_affinity_with_intervals(atlas):
    target = spec("gelu")
    ranking = atlas.rank(target)
    assert sorted(ranking.source) == sorted({*atlas.names} - {target})
    assert ranking.affinity.is_monotonic_decreasing
    assert list(ranking.affinity) == [atlas.affinity().loc[source, target] for source in ranking.source]
    assert ((ranking.low <= ranking.affinity) & (ranking.affinity <= ranking.high)).all()
    pd.testing.assert_frame_equal(atlas.rank(target, top=1), ranking.head(1))


def test_the_tree_is_the_one_on_disk(atlas, folder):
    for method in METHODS:
        stored = (folder / "tree" / f"{method}.nwk").read_text(encoding="utf-8")
        assert atlas.tree(method).newick() + "\n" == stored


def test_thumbnails_are_small_pictures_of_the_probe(atlas):
    assert list(atlas.thumbnails) == list(atlas.images())
    assert all(
        picture.shape == (128, 128, 3) and picture.dtype == np.uint8 for picture in atlas.thumbnails.values()
    )
    assert [image["id"] for image in atlas.manifest()["images"]] == list(atlas.images())


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (
            lambda atlas: atlas.rank("python:chartable:rellu"),
            "no model 'python:chartable:rellu'; it has .*relu",
        ),
        (lambda atlas: atlas.rank(spec("raising")), "was left out of this atlas: ZeroDivisionError"),
        (lambda atlas: atlas.maps("x"), "no model 'x'"),
        (lambda atlas: atlas.affinity("salience"), "no method 'salience'; it has saliency"),
        (lambda atlas: atlas.rank(spec("relu"), top=0), "at least one source"),
    ],
)
def test_what_is_not_there_is_named_with_what_is_near(atlas, ask, said):
    with pytest.raises(InputError, match=said) as caught:
        ask(atlas)
    assert caught.value.exit_status == 2


def test_the_names_that_are_offered_are_not_said_to_be_all(folder):
    document = json.loads((folder / "atlas.json").read_text(encoding="utf-8"))
    charted = document["models"][spec("relu")]
    models = dict.fromkeys(("edge", "edges", "curvature", "depth"), charted)
    atlas = Atlas(folder, {**document, "models": models})
    with pytest.raises(InputError, match=r"no model 'edg'; near: edge, edges$"):
        atlas.rank("edg")
    with pytest.raises(InputError, match=r"no model 'xxx'; it has 4: edge, edges, curvature, \.\.\.$"):
        atlas.rank("xxx")
    with pytest.raises(InputError, match=r"no model 'edg'; it has depth$"):
        Atlas(folder, {**document, "models": {"depth": charted}}).rank("edg")


def test_a_run_that_did_not_finish_says_so(folder, tmp_path):
    """As atlas.json is from the first moment of a run to its end."""
    document = json.loads((folder / "atlas.json").read_text(encoding="utf-8"))
    (tmp_path / "atlas.json").write_text(json.dumps({**document, "state": "running", "models": {}}))
    for ask in (lambda atlas: atlas.rank(spec("relu")), lambda atlas: atlas.affinity()):
        with pytest.raises(StoreError, match="did not finish; run the same `modelatlas chart` again"):
            ask(open_atlas(tmp_path))


def test_a_lost_table_is_named_with_the_remedy(folder, tmp_path):
    copied = shutil.copytree(folder, tmp_path / "a")
    (copied / "affinity" / "saliency.csv").unlink()
    with pytest.raises(StoreError, match="missing: run the same"):
        open_atlas(copied).affinity("saliency")


def test_a_folder_that_may_only_be_read_can_be_opened(folder, tmp_path):
    copied = shutil.copytree(folder, tmp_path / "a")
    before = sorted(copied.rglob("*"))
    for path in [copied, *before]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        opened = open_atlas(copied)
        opened.rank(spec("relu"))
        opened.maps(spec("relu"))
        assert sorted(copied.rglob("*")) == before
    finally:
        for path in [copied, *before]:
            path.chmod(0o755)
