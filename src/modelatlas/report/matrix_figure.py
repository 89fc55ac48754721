"""The affinity matrix as a heat map, rows and columns in the order of the tree (the paper's figure S2).

Cells are as large as the number of models allows, names are never cut, and values stand in the cells of up to
a dozen models. The diagonal is 1 by definition: it is left blank and has no say in the scale of colours.
"""

from typing import Final

import numpy as np
from matplotlib.colors import ListedColormap
from scipy.cluster import hierarchy

from modelatlas.report.colour import hex_colour, ink_on, palette
from modelatlas.report.contents import Labels, Matrix, method_title
from modelatlas.report.legend import legend_height, place_legend
from modelatlas.report.numbers import digits_of, number
from modelatlas.report.sheet import FAINT, MUTED, Sheet, text_width, wrapped

__all__ = ["draw_matrix"]

PRINTED_UP_TO: Final = 12
GAPS_UP_TO: Final = 100
ROOM_FOR_TWO_LINES: Final = 0.42
LONGEST: Final = 2.4
OWN: Final = (0.925, 0.933, 0.941)
MARGIN: Final = 0.35
TITLE: Final = 0.72
TREE: Final = 0.75
SINE: Final = 0.7071  # column names rise at 45 degrees


def draw_matrix(matrix: Matrix, labels: Labels, *, subtitle: str) -> Sheet:
    """Draw one method's matrix."""
    count = len(matrix.models)
    cell = float(np.interp(count, [5, 12, 20, 40, 80], [0.62, 0.5, 0.34, 0.235, 0.17]))
    size = min(9.5, cell * 72 * 0.56)
    names = [labels.text(model) for model in matrix.models]
    looks = [labels.style[model].look(size) for model in matrix.models]
    if cell >= ROOM_FOR_TWO_LINES:
        names = [wrapped(name, LONGEST, **look) for name, look in zip(names, looks, strict=True)]
    widths = [text_width(name, **look) for name, look in zip(names, looks, strict=True)]
    side, left = count * cell, MARGIN + max(widths) + 0.12
    top = MARGIN + TITLE + max(widths) * SINE + 0.2
    overhang = max(width * SINE - (count - i - 0.5) * cell for i, width in enumerate(widths)) + 0.15
    right = max(TREE + 0.1 if matrix.tree else 0, overhang)
    width = max(left + side + right + MARGIN, MARGIN + 6.2)
    under = legend_height(labels, width - 2 * MARGIN, size=9)
    sheet = Sheet(width, top + side + 0.95 + under + MARGIN)
    sheet.text(MARGIN, MARGIN + 0.18, f"Affinity by {method_title(matrix.method)}", size=14, weight="bold")
    sheet.text(MARGIN, MARGIN + 0.42, subtitle, size=9, colour=MUTED)
    _cells(sheet, matrix, left, top, side)
    for i, (model, name) in enumerate(zip(matrix.models, names, strict=True)):
        middle = (i + 0.5) * cell
        sheet.name(left - 0.09, top + middle, name, labels.style[model], size=size, across="right")
        sheet.name(left + middle, top - 0.1, name, labels.style[model], size=size, angle=45)
    if matrix.tree:
        _tree(sheet, matrix.tree.linkage, left + side + 0.08, top, side)
    _colour_bar(sheet, matrix, left, top + side + 0.22, min(max(side, 2.6), 4.0))
    place_legend(sheet, labels, MARGIN, top + side + 1.0, width - 2 * MARGIN, size=9)
    return sheet


def _cells(sheet: Sheet, matrix: Matrix, left: float, top: float, side: float) -> None:
    count = len(matrix.models)
    axes = sheet.axes(left, top, side, side)
    shades = palette(matrix.scale.name)
    cells = shades[np.rint(matrix.scale.position(matrix.values) * (len(shades) - 1)).astype(np.intp)]
    cells[np.diag_indices(count)] = OWN
    if count > GAPS_UP_TO:
        axes.imshow(cells, aspect="auto", interpolation="nearest")
        return
    gap = 1.0 if count <= 20 else 0.5
    axes.pcolormesh(cells[::-1], edgecolors="white", linewidth=gap, antialiased=True)
    axes.set(xlim=(0, count), ylim=(0, count))
    if count > PRINTED_UP_TO:
        return
    cell, digits = side / count, digits_of(matrix.values)
    for i, j in np.ndindex(count, count):
        text = "1" if i == j else number(float(matrix.values[i, j]), digits)
        ink = MUTED if i == j else ink_on(hex_colour(cells[i, j]))
        x, y = left + (j + 0.5) * cell, top + (i + 0.5) * cell
        sheet.middle(x, y, text, size=min(10, cell * 72 * 0.26), colour=ink, across="center")


def _tree(sheet: Sheet, linkage: np.ndarray, left: float, top: float, side: float) -> None:
    axes = sheet.axes(left, top, TREE, side)
    plan = hierarchy.dendrogram(linkage, no_plot=True)
    for ends, heights in zip(plan["icoord"], plan["dcoord"], strict=True):
        axes.plot(heights, ends, color=FAINT, linewidth=0.8, solid_capstyle="round", solid_joinstyle="round")
    axes.set(xlim=(0, max(linkage[:, 2].max(), 1e-12) * 1.02), ylim=(10 * (len(linkage) + 1), 0))


def _colour_bar(sheet: Sheet, matrix: Matrix, left: float, top: float, width: float) -> None:
    scale = matrix.scale
    axes = sheet.axes(left, top, width, 0.13)
    axes.imshow(np.linspace(0, 1, 256)[None], cmap=ListedColormap(palette(scale.name)), aspect="auto")
    for tick in scale.ticks():
        x = left + width * float(scale.position(np.array(tick)))
        sheet.text(x, top + 0.28, number(tick, None), size=8, colour=MUTED, across="center")
    sheet.text(left, top + 0.46, f"affinity ({matrix.measure})", size=8.5)
    note = "The diagonal is 1 by definition and left out of the scale."
    sheet.text(left, top + 0.6, note, size=7.5, colour=MUTED)
