"""Figures: nothing is cut at any number of models, files are sound, the same atlas gives the same bytes."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import AxesImage
from matplotlib.transforms import Bbox
from PIL import Image

from modelatlas.atlas import Atlas
from modelatlas.errors import InputError, StoreError
from modelatlas.report import draw_figures, draw_maps
from modelatlas.report.contents import labels, matrix, model_order
from modelatlas.report.examples import examples, telling_examples
from modelatlas.report.maps_figure import draw_examples
from modelatlas.report.matrix_figure import draw_matrix
from modelatlas.report.sheet import Sheet, text_width, wrapped
from modelatlas.report.tree_figure import branches, draw_tree
from report.atlases import write_atlas

LONG = "timm:vit_small_patch16_224.augreg_in21k_ft_in1k?random=3&layer=blocks.11.mlp.fc2"


@pytest.fixture(scope="module", params=[1, 2, 5, 20, 40])
def atlas(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    """Of 1 to 40 models, each with a long name."""
    count: int = request.param
    names = [f"{LONG}-{i}" if i % 3 == 0 else f"package:efficientnet-lite{i}" for i in range(count)]
    return write_atlas(tmp_path_factory.mktemp("atlas"), count, names=names, dead=[(0, "saliency", 0)])


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return write_atlas(tmp_path_factory.mktemp("five"), 5, methods=("saliency", "gradient-x-input"))


@pytest.fixture(scope="module")
def sheets(atlas: Atlas) -> list[Sheet]:
    return list(drawn_sheets(atlas))


def drawn_sheets(atlas: Atlas) -> Iterator[Sheet]:
    known = labels(atlas)
    for method in atlas.methods[:2]:
        found = matrix(atlas, method)
        yield draw_matrix(found, known, subtitle="of images")
        if found.tree is not None:
            yield draw_tree(found, found.tree, known, subtitle="of images")
    order = model_order(atlas)
    shown = telling_examples(atlas, 1, order)
    yield draw_examples(shown, models=order, methods=atlas.methods, labels=known, subtitle="of images")


def extents(sheet: Sheet) -> list[tuple[str, Bbox]]:
    """Boxes of all texts as they are drawn, in pixels."""
    renderer = sheet.figure.canvas.get_renderer()  # type: ignore[attr-defined]
    return [
        (text.get_text(), text.get_window_extent(renderer)) for text in sheet.figure.texts if text.get_text()
    ]


def test_every_text_lies_within_the_figure(sheets: list[Sheet]) -> None:
    for sheet in sheets:
        width, height = sheet.figure.bbox.size
        margin = 0.12 * sheet.figure.dpi
        for text, box in extents(sheet):
            assert box.x0 >= margin, text
            assert box.y0 >= margin, text
            assert box.x1 <= width - margin, text
            assert box.y1 <= height - margin, text


def test_level_texts_do_not_overlap(sheets: list[Sheet]) -> None:
    """Boxes of level texts, ascenders and descenders included, share at most a third of a line."""
    for sheet in sheets:
        renderer = sheet.figure.canvas.get_renderer()  # type: ignore[attr-defined]
        level = [text for text in sheet.figure.texts if text.get_rotation() == 0 and text.get_text()]
        boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in level]
        for (first, a), (second, b) in itertools.combinations(boxes, 2):
            across = min(a.x1, b.x1) - max(a.x0, b.x0)
            along = min(a.y1, b.y1) - max(a.y0, b.y0)
            assert across <= 1 or along <= 0.3 * min(a.height, b.height), (first, second)


def test_names_are_whole(atlas: Atlas, sheets: list[Sheet]) -> None:
    known = labels(atlas)
    for sheet in sheets:
        drawn = "".join(text.get_text() for text in sheet.figure.texts).replace(" ", "")
        for model in atlas.names:
            assert known.text(model).replace(" ", "") in drawn


@pytest.fixture(scope="module")
def drawn(five: Atlas, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return draw_figures(five, tmp_path_factory.mktemp("drawn"))


def test_the_contract_s_files_are_written(drawn: list[Path], five: Atlas) -> None:
    stems = [f"{kind}-{method}" for method in five.methods for kind in ("affinity", "tree")] + ["maps"]
    folder = drawn[0].parent
    assert folder.name == "figures"
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        f"{s}.{e}" for s in stems for e in ("png", "svg")
    )
    assert sorted(drawn) == sorted(folder.iterdir())


def test_files_are_what_they_say(drawn: list[Path]) -> None:
    for path in drawn:
        if path.suffix == ".png":
            with Image.open(path) as image:
                image.verify()
                assert 1000 < image.width < 4000
                assert set(image.info) <= {"dpi", "Title"}
        else:
            root = ElementTree.parse(path).getroot()
            assert root.tag == "{http://www.w3.org/2000/svg}svg"
            assert b"<dc:date>" not in path.read_bytes()
            assert not [
                link
                for of in root.iter()
                for key, link in of.items()
                if key.endswith("href") and ":" in link and not link.startswith("data:")
            ]


def test_same_atlas_gives_the_same_bytes(drawn: list[Path], five: Atlas, tmp_path: Path) -> None:
    again = draw_figures(five, tmp_path)
    for first, second in zip(drawn, again, strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name


def test_printed_values_are_the_matrix(five: Atlas) -> None:
    found = matrix(five, "gradient-x-input")
    texts = [text.get_text() for text in draw_matrix(found, labels(five), subtitle="").figure.texts]
    off = found.values[~np.eye(5, dtype=bool)]
    for value in off:
        assert f"{value:.2f}".replace("-0.00", "0.00").replace("-", "\N{MINUS SIGN}") in texts
    assert texts.count("1") >= 5


def test_branches_join_every_leaf_at_its_cophenetic_distance(five: Atlas) -> None:
    """Walk up the drawn lines from two leaves: they meet at the distance that SciPy gives."""
    found = matrix(five, "saliency")
    assert found.tree is not None
    tree, known = found.tree, labels(five)
    lines = branches(tree, known)
    up = {(d1, r1): (d2, r2) for d1, r1, d2, r2, _ in lines if r1 == r2 and d1 != d2}
    spans = [(d, *sorted((r1, r2))) for d, r1, d2, r2, _ in lines if d == d2]

    def ancestors(row: float) -> list[float]:
        at, seen = (0.0, row), [0.0]
        while at in up:
            distance, row = up[at]
            _, low, high = next(span for span in spans if span[0] == distance and span[1] <= row <= span[2])
            at = (distance, (low + high) / 2)
            seen.append(distance)
        return seen

    expected = tree.cophenetic()
    for i, j in itertools.combinations(range(5), 2):
        rows = [tree.order.index(tree.models[k]) for k in (i, j)]
        meeting = min(set(ancestors(float(rows[0]))) & set(ancestors(float(rows[1]))) - {0.0})
        assert meeting == pytest.approx(expected[i, j], abs=1e-12)


def test_maps_of_chosen_models_and_images(five: Atlas, tmp_path: Path) -> None:
    out = draw_maps(five, models=five.names[:2], images=["0", five.images()[3]], out=tmp_path / "two.png")
    with Image.open(out) as image:
        assert image.format == "PNG"
        assert image.height > image.width / 2


def test_unknown_image_model_or_file_kind_is_named(five: Atlas, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no image 'x'.*number from 0 to 7"):
        draw_maps(five, models=five.names[:1], images=["x"], out=tmp_path / "a.png")
    with pytest.raises(InputError, match="no image '8'"):
        draw_maps(five, models=five.names[:1], images=["8"], out=tmp_path / "a.png")
    with pytest.raises(InputError, match="no model 'nobody'"):
        draw_maps(five, models=["nobody"], images=["0"], out=tmp_path / "a.png")
    with pytest.raises(InputError, match="at least one model"):
        draw_maps(five, models=[], images=["0"], out=tmp_path / "a.png")
    with pytest.raises(InputError, match=r"ends in \.png"):
        draw_maps(five, models=five.names[:1], images=["0"], out=tmp_path / "a.tiff")
    assert list(tmp_path.iterdir()) == []


def test_a_picture_too_tall_to_open_is_refused(
    five: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelatlas.report.figures.TALLEST", 9.0)
    with pytest.raises(InputError, match="draw fewer images"):
        draw_maps(five, models=five.names, images=["0", "1", "2"], out=tmp_path / "a.png")


def test_a_place_that_cannot_be_written_is_named(five: Atlas, tmp_path: Path) -> None:
    (tmp_path / "figures").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="figures"):
        draw_figures(five, tmp_path)


def test_dead_maps_are_told(tmp_path: Path) -> None:
    atlas = write_atlas(tmp_path, 2, dead=[(1, "saliency", 0)])
    shown = examples(atlas, ["0"], atlas.names)
    sheet = draw_examples(shown, models=atlas.names, methods=atlas.methods, labels=labels(atlas), subtitle="")
    assert [text.get_text() for text in sheet.figure.texts].count("dead map") == 1
    # Images with more living maps come first.
    assert telling_examples(atlas, 1, atlas.names)[0].name == atlas.images()[1]


def test_an_atlas_without_pictures_still_draws_maps(tmp_path: Path) -> None:
    atlas = write_atlas(tmp_path, 2, pictures=False)
    (shown,) = telling_examples(atlas, 1, atlas.names)
    assert shown.photo is None
    sheet = draw_examples(
        [shown], models=atlas.names, methods=atlas.methods, labels=labels(atlas), subtitle=""
    )
    assert any(isinstance(artist, AxesImage) for axes in sheet.figure.axes for artist in axes.images)


def test_names_in_any_script_are_drawn(tmp_path: Path) -> None:
    names = ("模型-一", "naïve $x$ _{2}", "مدل", "🦊 fox", "ε\u200b\x1b--", "back\\slash")
    atlas = write_atlas(tmp_path, 6, names=names, methods=("saliency",))
    for path in draw_figures(atlas, tmp_path):
        if path.suffix == ".svg":
            ElementTree.parse(path)


def outlines(text: str, folder: Path) -> set[str]:
    sheet = Sheet(6, 1)
    sheet.text(0.2, 0.5, text)
    _, svg = sheet.save(folder / "text", title="")
    found = ElementTree.parse(svg).iterfind(".//{*}defs/{*}path")
    return {path.get("d", "") for path in found}


@pytest.mark.parametrize("strange", ["漢字 モデル", "✓ مدل", "\U0010fffd"])
def test_a_letter_without_a_font_leaves_the_others_theirs(strange: str, tmp_path: Path) -> None:
    name, stamp = "résumé-net", "(untrained)"
    plain = outlines(f"{name} {stamp}", tmp_path)
    assert len(plain) >= len(set(name + stamp))
    assert plain < outlines(f"{name} {strange} {stamp}", tmp_path)


@pytest.mark.filterwarnings("ignore:Glyph .* missing from font")
@pytest.mark.parametrize("text", ["résumé-net 漢字 モデル (untrained)", "naïve ✓ Ж", "漢字"])
def test_text_width_is_what_is_drawn_in_any_script(text: str) -> None:
    sheet = Sheet(8, 1)
    sheet.text(0, 0.5, text, size=9)
    ((_, box),) = extents(sheet)
    assert box.width / sheet.figure.dpi == pytest.approx(text_width(text, size=9), rel=0.06, abs=0.03)


@given(
    st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), min_size=1, max_size=80),
    st.floats(0.5, 3),
)
def test_wrapping_keeps_every_letter(text: str, width: float) -> None:
    lines = wrapped(text, width, size=8).split("\n")
    assert "".join(lines) == text
    assert all(text_width(line, size=8) <= width for line in lines)


@given(st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=40))
def test_text_width_is_what_is_drawn(text: str) -> None:
    """Against Matplotlib's own layout, kerning included."""
    sheet = Sheet(8, 1)
    sheet.text(0, 0.5, text, size=9)
    ((_, box),) = extents(sheet)
    assert box.width / sheet.figure.dpi == pytest.approx(text_width(text, size=9), rel=0.06, abs=0.03)
