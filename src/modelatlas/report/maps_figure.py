"""Attribution maps of a few images (the paper's figure S1).

The image stands above, then comes a row for each method and a column for each model.
More than ten models are broken into bands of equal width, so that the figure stays as wide as a page.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.colors import ListedColormap

from modelatlas.report.contents import Labels, method_title
from modelatlas.report.examples import Example
from modelatlas.report.map_pictures import ROBUST, draw_map, is_signed, map_palette
from modelatlas.report.sheet import LEADING, MUTED, Sheet, text_width, wrapped

__all__ = ["draw_examples"]

MARGIN: Final = 0.35
TITLE: Final = 0.78
TILE: Final = 1.0
PIXELS: Final = 120  # of a tile, twice as fine as the grid
GAP_PIXELS: Final = 8
GAP: Final = TILE * GAP_PIXELS / PIXELS
SIDE_COLUMN: Final = 1.25
MOST_COLUMNS: Final = 10
NAME_SIZE: Final = 7.5
KEY: Final = 1.7
DEAD: Final = (236, 238, 240)


def draw_examples(
    examples: Sequence[Example],
    *,
    models: Sequence[str],
    methods: Sequence[str],
    labels: Labels,
    subtitle: str,
) -> Sheet:
    """Draw the maps of `models` on every example."""
    bands = -(-len(models) // MOST_COLUMNS)
    columns = -(-len(models) // bands)
    split = [models[i : i + columns] for i in range(0, len(models), columns)]
    looks = {model: labels.style[model].look(NAME_SIZE) for model in models}
    names = {model: wrapped(labels.text(model), TILE - 0.06, **looks[model]) for model in models}
    line = NAME_SIZE * LEADING / 72
    heads = [max(names[model].count("\n") + 1 for model in band) * line + 0.14 for band in split]
    heads[0] = max(heads[0], TILE + 0.12)  # the photograph stands beside the first names
    block = sum(heads) + len(split) * len(methods) * (TILE + GAP) + 0.25 * len(split)
    left = MARGIN + SIDE_COLUMN
    width = max(left + columns * (TILE + GAP) + MARGIN, 6.0)
    sheet = Sheet(width, MARGIN + TITLE + len(examples) * block + 0.95 + MARGIN)
    sheet.text(MARGIN, MARGIN + 0.18, "Attribution maps", size=14, weight="bold")
    sheet.text(MARGIN, MARGIN + 0.42, subtitle, size=9, colour=MUTED)
    y = MARGIN + TITLE
    for example in examples:
        _photo(sheet, example, MARGIN, y)
        for band, head in zip(split, heads, strict=True):
            y += head
            for column, model in enumerate(band):
                x, first = left + column * (TILE + GAP), y - 0.09 - names[model].count("\n") * line
                sheet.text(x, first, names[model], colour=labels.style[model].colour, **looks[model])
            _tiles(sheet, example, band, methods, left, y)
            y += len(methods) * (TILE + GAP) + 0.25
    _keys(sheet, examples, models, methods, left, y + 0.12)
    return sheet


def _photo(sheet: Sheet, example: Example, x: float, y: float) -> None:
    caption = _caption(example, sheet.width - x - TILE - 0.1 - MARGIN)
    if example.photo is None:
        sheet.text(x, y + 0.12, f"{caption}\n(no picture kept)", size=NAME_SIZE, colour=MUTED)
        return
    axes = sheet.axes(x, y, TILE, TILE)
    axes.imshow(example.photo, interpolation="lanczos", aspect="auto")
    sheet.text(x + TILE + 0.1, y + 0.1, caption, size=NAME_SIZE, colour=MUTED)


def _caption(example: Example, width: float) -> str:
    lines = [example.name, example.credit] if example.credit else [example.name]
    return "\n".join(wrapped(line, width, size=NAME_SIZE) for line in lines)


def _tiles(
    sheet: Sheet, example: Example, models: Sequence[str], methods: Sequence[str], left: float, top: float
) -> None:
    """One picture for all maps of a band: a figure of hundreds of pictures is slow to draw and to open."""
    pitch = PIXELS + GAP_PIXELS
    shape = (len(methods) * pitch - GAP_PIXELS, len(models) * pitch - GAP_PIXELS, 3)
    canvas = np.full(shape, 255, dtype=np.uint8)
    for row, method in enumerate(methods):
        middle = top + row * (TILE + GAP) + TILE / 2
        sheet.middle(left - 0.12, middle, method_title(method), size=9.5, across="right")
        for column, model in enumerate(models):
            values = example.maps[model][method]
            picture = draw_map(values, signed=is_signed(method, values), side=PIXELS, photo=example.photo)
            tile = canvas[row * pitch :, column * pitch :][:PIXELS, :PIXELS]
            tile[:] = DEAD if picture is None else picture
            if picture is None:
                x = left + column * (TILE + GAP) + TILE / 2
                sheet.middle(x, middle, "dead map", size=8.5, colour=MUTED, across="center")
    axes = sheet.axes(left, top, canvas.shape[1] / PIXELS * TILE, canvas.shape[0] / PIXELS * TILE)
    axes.imshow(canvas, aspect="auto", interpolation="nearest")


def _keys(
    sheet: Sheet,
    examples: Sequence[Example],
    models: Sequence[str],
    methods: Sequence[str],
    x: float,
    y: float,
) -> None:
    signs = {
        method: is_signed(method, np.array([one.maps[model][method] for one in examples for model in models]))
        for method in methods
    }
    for signed, words in ((False, ("0", "strong")), (True, ("negative", "0", "positive"))):
        of = " and ".join(method_title(method) for method in methods if signs[method] == signed)
        if not of:
            continue
        colours = ListedColormap(map_palette(signed=signed))
        sheet.axes(x, y, KEY, 0.12).imshow(np.linspace(0, 1, 256)[None], cmap=colours, aspect="auto")
        for place, word in enumerate(words):
            share = place / (len(words) - 1)
            across = "left" if share == 0 else "right" if share == 1 else "center"
            sheet.text(x + KEY * share, y + 0.26, word, size=7.5, colour=MUTED, across=across)
        sheet.text(x, y + 0.44, of, size=8.5)
        x += max(KEY, text_width(of, size=8.5)) + 0.5
    note = f"Each map is scaled by its own {ROBUST}th percentile; laid over the greyed photograph."
    sheet.text(MARGIN + SIDE_COLUMN, y + 0.66, note, size=7.5, colour=MUTED)
