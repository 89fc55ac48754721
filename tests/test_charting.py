"""`chart`: the main job in a few lines of Python."""

import os
import shutil

import pytest

import modelatlas
from chartable import spec, write_pictures
from modelatlas.errors import IncompleteError, InputError
from modelatlas.probe import open_probe
from modelatlas.run import HereEngine
from modelatlas.zoo import read_zoo

OPTIONS = {"grid": 8, "threads": 1, "trust_code": True, "engine": HereEngine}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"), 6)


def test_a_chart_in_one_call_ends_with_figures_and_a_report(tmp_path, pictures):
    events = []
    models = [spec("relu"), spec("gelu"), spec("raising")]
    atlas = modelatlas.chart(models, pictures, tmp_path / "a", images=5, progress=events.append, **OPTIONS)
    assert atlas.path == tmp_path / "a"
    assert atlas.names == (spec("relu"), spec("gelu"))
    assert len(atlas.images()) == 5
    assert (tmp_path / "a" / "report.html").stat().st_size > 0
    for name in ("affinity-saliency", "tree-epsilon-lrp", "maps"):
        for suffix in (".png", ".svg"):
            assert (tmp_path / "a" / "figures" / f"{name}{suffix}").stat().st_size > 0
    assert {"probe", "planned", "finished", "excluded", "comparing"} <= {event.kind for event in events}
    with pytest.raises(IncompleteError, match="left out, and --strict was given") as caught:
        modelatlas.chart(models, pictures, tmp_path / "a", images=5, strict=True, **OPTIONS)
    assert caught.value.exit_status == 1
    assert caught.value.charted == atlas.names
    assert list(caught.value.excluded) == [spec("raising")]


def test_one_model_alone_has_a_matrix_of_one_and_no_tree(tmp_path, pictures):
    atlas = modelatlas.chart(spec("relu"), open_probe(pictures), tmp_path / "a", images=3, **OPTIONS)
    assert atlas.affinity().to_numpy().tolist() == [[1.0]]
    assert atlas.rank(spec("relu")).empty
    assert not (tmp_path / "a" / "tree").exists()
    assert (tmp_path / "a" / "report.html").exists()


def test_a_picture_whose_name_is_not_utf8_is_left_out(tmp_path, pictures):
    shutil.copytree(pictures, tmp_path / "pictures")
    shutil.move(tmp_path / "pictures/000.png", os.fsencode(tmp_path / "pictures") + b"/b\xe9.png")
    atlas = modelatlas.chart(spec("relu"), tmp_path / "pictures", tmp_path / "a", **OPTIONS)
    assert len(atlas.images()) == 5
    assert [(left.item, left.reason) for left in atlas.left_out] == [
        (r"b\udce9.png", "its name is not UTF-8: rename it")
    ]


def test_when_nothing_can_be_charted_the_reasons_are_told(tmp_path, pictures):
    zoo = read_zoo(f"{spec('raising')},{spec('vanishing')}")
    with pytest.raises(
        IncompleteError, match=r"no model could be charted.*ZeroDivisionError.*not finite"
    ) as caught:
        modelatlas.chart(zoo, pictures, tmp_path / "a", **OPTIONS)
    assert caught.value.exit_status == 1
    atlas = modelatlas.open_atlas(tmp_path / "a")
    assert not atlas.names
    for ask in (atlas.affinity, atlas.interval, atlas.tree):
        with pytest.raises(IncompleteError, match=r"no model could be charted.*ZeroDivisionError"):
            ask()


@pytest.mark.parametrize(
    ("zoo", "options", "said"),
    [
        ([spec("relu"), spec("relu")], {}, "stands twice|called"),
        ([], {}, "nothing to chart"),
        ("timm:resnet19", {}, "resnet19"),
        (spec("relu"), {"batch": "many"}, "batch 'many'"),
        (spec("relu"), {"images": 0}, "0 images"),
        (spec("relu"), {"images": 2.5}, "2.5 images were asked for: give a whole number of at least 1"),
        (spec("relu"), {"images": "2"}, "'2' images were asked for"),
        (spec("relu"), {"methods": ["lrp"]}, "unknown method 'lrp'"),
        (spec("relu"), {"methods": "saliency"}, r"^methods is the text 'saliency': give a list, as in"),
        (spec("relu"), {"exclude": spec("relu")}, r"^exclude is the text .*: give a list, as in"),
    ],
)
def test_wrong_input_writes_nothing(tmp_path, pictures, zoo, options, said):
    with pytest.raises(InputError, match=said):
        modelatlas.chart(zoo, pictures, tmp_path / "a", **{**OPTIONS, **options})
    assert not (tmp_path / "a").exists()
