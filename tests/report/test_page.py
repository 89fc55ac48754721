"""The page in a real browser, at two widths, light and dark; and its text against the atlas's files."""

import base64
import csv
import io
import json
import re
import shlex
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modelatlas.atlas import Atlas, open_atlas
from modelatlas.errors import StoreError
from modelatlas.report import write_report
from modelatlas.report.colour import contrast
from modelatlas.report.page import repeat_command
from report.atlases import write_atlas
from report.browser import CHROMIUM, Browser

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium or Chrome is installed")
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><b>&amp;",
    "名前 ✓ naïve",
    "'; DROP TABLE models; --",
    "{{ 7 * 7 }}",
)
SHOWN = "[...document.querySelectorAll('{}')].filter(e => e.getClientRects().length).map(e => {})"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    """Seven models, one with dead maps, one model and one image left out.

    Of its four images, three are the ones without a dead map.
    """
    folder = tmp_path_factory.mktemp("seven")
    atlas = write_atlas(
        folder,
        7,
        excluded={"timm:broken": "no gradient reaches the input"},
        left_out={"a/<b>.jpg": "truncated file"},
        dead=[(1, "saliency", image) for image in range(5)],
    )
    write_report(atlas, folder)
    return atlas


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    folder = tmp_path_factory.mktemp("forty")
    atlas = write_atlas(folder, 40)
    write_report(atlas, folder)
    return atlas


def page(atlas: Atlas) -> Path:
    return atlas.path / "report.html"


class Elements(HTMLParser):
    """Start tags with attributes, and the content of JSON scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.data: list[dict[str, list[list[float]]]] = []
        self._json = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._json = tag == "script" and dict(attrs).get("type") == "application/json"

    def handle_data(self, data: str) -> None:
        if self._json:
            self.data.append(json.loads(data))
            self._json = False


@needs_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("size", ["seven", "forty"])
def test_page_is_whole_at_every_width(
    browser: Browser, request: pytest.FixtureRequest, size: str, width: int, dark: bool, tmp_path: Path
) -> None:
    atlas: Atlas = request.getfixturevalue(size)
    browser.open(page(atlas), width=width, dark=dark)
    assert browser.complaints == []
    asked = [url for url in browser.requests if not url.startswith("data:")]
    assert asked == [page(atlas).absolute().as_uri()]
    assert browser.ask("document.documentElement.scrollWidth") == width
    # What sticks out of the page must lie in a box that scrolls by itself.
    astray = browser.ask(
        "[...document.querySelectorAll('body :not(.scroll *, svg *, .hidden, pre *)')].filter("
        f"e => e.getClientRects().length && e.getBoundingClientRect().right > {width} + 0.5)"
        ".map(e => e.outerHTML.slice(0, 80))"
    )
    assert astray == []
    browser.picture(tmp_path / "page.png")
    with Image.open(tmp_path / "page.png") as taken:
        assert taken.width == width
        corner = taken.convert("RGB").getpixel((2, 2))
    assert isinstance(corner, tuple)
    assert (max(corner) < 64) == dark


@needs_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", ["seven", "forty"])
def test_text_contrast_is_at_least_4_5(
    browser: Browser, request: pytest.FixtureRequest, size: str, dark: bool
) -> None:
    """Of every text that is shown, against the nearest ground that is not transparent (WCAG 2.2, 1.4.3)."""
    browser.open(page(request.getfixturevalue(size)), width=1280, dark=dark)
    pairs = browser.ask(
        """(() => {
          const found = new Map(), clear = 'rgba(0, 0, 0, 0)';
          const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
          while (walk.nextNode()) {
            const of = walk.currentNode.parentElement, text = walk.currentNode.data.trim();
            if (!text || !of.getClientRects().length || of.closest('.dense td, script')) continue;
            let ground = of;
            while (ground && getComputedStyle(ground).backgroundColor === clear)
              ground = ground.parentElement;
            const behind = getComputedStyle(ground || document.body).backgroundColor;
            const pair = [getComputedStyle(of).color, behind];
            found.set(pair.join('|'), [...pair, text.slice(0, 40)]);
          }
          return [...found.values()];
        })()"""
    )
    assert len(pairs) > 10

    def hexed(colour: str) -> str:
        assert colour.startswith("rgb("), colour
        return "#" + "".join(f"{int(band):02x}" for band in re.findall(r"\d+", colour))

    weak = [(text, ink, ground) for ink, ground, text in pairs if contrast(hexed(ink), hexed(ground)) < 4.5]
    assert weak == []


@needs_browser
@pytest.mark.parametrize("scripts", [True, False], ids=["script", "no-script"])
def test_tabs_show_one_method_and_one_image(browser: Browser, seven: Atlas, scripts: bool) -> None:
    browser.open(page(seven), width=1280, scripts=scripts)
    browser.set("Emulation.setScriptExecutionDisabled", value=False)  # to ask; the page has loaded without
    shown = SHOWN.format("[data-method]", "e.dataset.method")
    assert browser.ask(shown) == ["gradient-x-input"]
    browser.ask("document.querySelector('#method-0').click()")
    assert browser.ask(shown) == ["saliency"]
    browser.ask("document.querySelector('#method-2').focus()")
    assert browser.ask("document.activeElement.id") == "method-2"
    images = "[...document.querySelectorAll('#maps .panel')].map(e => e.getClientRects().length > 0)"
    assert browser.ask(images) == [True, False, False, False]
    browser.ask("document.querySelector('#image-3').click()")
    assert browser.ask(images) == [False, False, False, True]


@needs_browser
def test_pointer_and_keys_tell_a_pair(browser: Browser, seven: Atlas) -> None:
    browser.open(page(seven), width=1280)
    readout = SHOWN.format(".readout", "e.textContent") + "[0]"
    assert "arrow keys" in browser.ask(readout)
    order = seven.tree("gradient-x-input").order
    table = seven.interval("gradient-x-input").set_index(["source", "target"])

    def told(i: int, j: int) -> str:
        affinity, low, high = (
            f"{value:.2f}".replace("-", "\N{MINUS SIGN}")
            for value in table.loc[(order[i], order[j]), ["affinity", "low", "high"]]
        )
        return f"{order[i]} and {order[j]}: affinity {affinity}, 95 % interval {low} to {high}"

    browser.move(".method-1 .matrix tbody tr:nth-child(3) td:nth-of-type(6)")
    assert browser.ask(readout) == told(2, 5)
    browser.ask("document.querySelector('.method-1 .of-matrix').focus()")
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowLeft"):
        browser.press(key)
    assert browser.ask(readout).startswith(f"{order[4]} and {order[5]}: affinity")
    browser.press("ArrowUp")
    assert browser.ask(readout) == told(3, 5)
    browser.press("Escape")
    assert "arrow keys" in browser.ask(readout)


@needs_browser
def test_paper_shows_every_method(browser: Browser, seven: Atlas, tmp_path: Path) -> None:
    browser.open(page(seven), width=1280)
    browser.set("Emulation.setEmulatedMedia", media="print")
    titles = browser.ask(SHOWN.format("h3.of-method", "e.textContent"))
    assert titles == ["By saliency", "By gradient × input", "By ε-LRP"]
    browser.paper(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


def test_numbers_and_tree_are_the_atlas_s(seven: Atlas) -> None:
    text = page(seven).read_text()
    data = Elements(text).data
    assert len(data) == len(seven.methods)
    for method, shown in zip(seven.methods, data, strict=True):
        stored = (seven.path / "affinity" / f"{method}.csv").read_text(encoding="utf-8")
        rows = list(csv.reader(io.StringIO(stored)))
        value = {
            (row[0], name): float(cell)
            for row in rows[1:]
            for name, cell in zip(rows[0][1:], row[1:], strict=True)
        }
        names = shown["models"]
        assert sorted(names) == sorted(rows[0][1:])  # type: ignore[type-var]
        for i, row in enumerate(shown["affinity"]):
            for j, cell in enumerate(row):
                assert cell == pytest.approx(value[names[i], names[j]], abs=5.1e-5)  # type: ignore[index]
                assert shown["low"][i][j] <= cell + 1e-4
                assert cell <= shown["high"][i][j] + 1e-4
        newick = (seven.path / "tree" / f"{method}.nwk").read_text(encoding="utf-8").strip()
        assert newick.replace("&", "&amp;").replace("'", "&#39;") in text


def test_names_stay_text(tmp_path: Path) -> None:
    atlas = write_atlas(
        tmp_path, 6, names=HOSTILE, excluded={"<i>out</i>": "<u>why</u>"}, left_out={"<s>.png": "</dl>&"}
    )
    written = write_report(atlas, tmp_path)
    elements = Elements(written.read_text(encoding="utf-8"))
    tags = {tag for tag, _ in elements.tags}
    assert not tags & {"b-x", "u", "s"}
    assert [values for tag, values in elements.tags if tag == "i" and "class" not in values] == []
    assert all(not key.startswith("on") for _, values in elements.tags for key in values)
    assert all(
        str(values["src"]).startswith("data:image/webp;base64,")
        for tag, values in elements.tags
        if tag == "img"
    )
    assert sorted(elements.data[0]["models"]) == sorted(HOSTILE)  # type: ignore[type-var]
    assert "49" not in re.findall(r"<title>.*</title>", written.read_text(encoding="utf-8"))[0]


@needs_browser
def test_hostile_names_run_nothing(browser: Browser, tmp_path: Path) -> None:
    written = write_report(write_atlas(tmp_path, 6, names=HOSTILE), tmp_path)
    browser.open(written, width=1280)
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith(("data:", "file:"))] == []
    shown = browser.ask(
        "[...document.querySelectorAll('.method-0 .matrix tbody th')].map(e => e.textContent)"
    )
    assert sorted(shown) == sorted(HOSTILE)


def test_page_asks_for_nothing_outside(seven: Atlas) -> None:
    text = page(seven).read_text(encoding="utf-8")
    for tag, values in Elements(text).tags:
        for key in ("src", "href", "action", "poster", "srcset"):
            if value := values.get(key):
                assert value.startswith(("data:", "#")), (tag, value)
    assert not re.search(r"@import|url\(|https?://(?!www\.w3\.org)", text)


def test_size_stays_moderate(forty: Atlas, seven: Atlas) -> None:
    assert page(seven).stat().st_size < 1.5e6
    assert page(forty).stat().st_size < 6e6


def test_same_atlas_gives_the_same_bytes(seven: Atlas, tmp_path: Path) -> None:
    assert write_report(open_atlas(seven.path), tmp_path).read_bytes() == page(seven).read_bytes()


def test_what_was_left_out_is_told(seven: Atlas) -> None:
    text = page(seven).read_text(encoding="utf-8")
    assert "no gradient reaches the input" in text
    assert "a/&lt;b&gt;.jpg" in text
    assert text.count("dead map") == 1
    assert text.count("scikit-image, CC0-1.0") == 4  # the pictures' licences


def test_untrained_models_are_stamped(seven: Atlas) -> None:
    text = page(seven).read_text(encoding="utf-8")
    assert "1 of 7 models has untrained weights" in text
    assert text.count("(untrained)") > 10


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_models(tmp_path: Path, count: int) -> None:
    atlas = write_atlas(tmp_path, count, methods=("saliency",), groups=False, pictures=False)
    text = write_report(atlas, tmp_path).read_text(encoding="utf-8")
    assert f"{count} model" in text
    assert ("Newick" in text) == (count > 1)
    assert ("nothing to compare" in text) == (count == 1)
    assert ("in the order of the tree" in text) == (count > 1)


def test_command_repeats_the_run(seven: Atlas) -> None:
    words = shlex.split(repeat_command(seven))
    assert words[:2] == ["modelatlas", "chart"]
    assert words[2].split(",") == [model.spec for model in seven.models]
    assert words[words.index("--images") + 1] == str(len(seven.images()))
    assert [words[i + 1] for i, word in enumerate(words) if word == "--method"] == list(seven.methods)


def test_command_trusts_code_only_where_there_is_some(seven: Atlas, tmp_path: Path) -> None:
    assert "--trust-code" not in repeat_command(seven)
    own = write_atlas(tmp_path, 2, names=("package:hed", "python:nets:make"), methods=("saliency",))
    assert repeat_command(own).endswith(" --trust-code")


def test_a_folder_that_cannot_be_written_is_named(seven: Atlas, tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(StoreError, match=r"report\.html"):
        write_report(seven, tmp_path)


def test_pictures_are_readable(seven: Atlas) -> None:
    uris = [
        str(values["src"])
        for tag, values in Elements(page(seven).read_text(encoding="utf-8")).tags
        if tag == "img"
    ]
    assert len(uris) == 4 + 4 * 7 * 3 - 1  # four photographs, four times 21 maps, one of them dead
    with Image.open(io.BytesIO(base64.b64decode(uris[-1].split(",")[1]))) as tile:
        assert tile.format == "WEBP"
        assert np.asarray(tile).std() > 5
