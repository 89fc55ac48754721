"""One method's part of the page: matrix, tree and nearest models as plain values that the template sets.

Nothing here is HTML but numbers and class names; escaping is the template's.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Float64

from modelatlas.report.colour import Palette, hex_colour, ink_on, palette
from modelatlas.report.contents import Labels, Matrix, method_title
from modelatlas.report.finding import Pair, pair
from modelatlas.report.groups import GroupStyle
from modelatlas.report.numbers import digits_of, number, short
from modelatlas.report.tree_figure import branches, distance_ticks

__all__ = ["SHADES", "Axis", "Cell", "Panel", "TreeDrawing", "make_panel", "shades"]

SHADES: Final = 64
SHOWN_NEIGHBOURS: Final = 3
WIDE: Final = 1000.0
"""Width of a tree's drawing in its own units; it is stretched to the page."""


@dataclass(frozen=True)
class Cell:
    """Text and colour class of one affinity."""

    text: str
    shade: str


@dataclass(frozen=True)
class Axis:
    """A tick: its place from 0 to 100 and its text."""

    at: float
    text: str


@dataclass(frozen=True)
class TreeDrawing:
    """A dendrogram in a box of `WIDE` by ten units a leaf.

    Attributes
    ----------
    lines
        SVG path data and the index of the group, -1 for mixed ones.
    order
        Names from top to bottom.
    """

    height: float
    lines: tuple[tuple[str, int], ...]
    ticks: tuple[Axis, ...]
    order: tuple[str, ...]
    linkage: str
    newick: str


@dataclass(frozen=True, eq=False)
class Panel:
    """All that the page shows of one method.

    Attributes
    ----------
    rows
        Cells of the matrix, in the order of `models`.
    ramp
        Shades of the scale from low to high, as class names.
    ticks
        Of the scale.
    nearest
        Target -> its best sources, best first.
    digits
        After the point, of affinities.
    measure
        What an affinity is, in words.
    data
        JSON for the page's script.
    """

    method: str
    title: str
    models: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    ramp: tuple[str, ...]
    ticks: tuple[Axis, ...]
    tree: TreeDrawing | None
    nearest: Mapping[str, tuple[Pair, ...]]
    digits: int
    measure: str
    data: str


def make_panel(matrix: Matrix, labels: Labels) -> Panel:
    """Prepare one method for the page."""
    scale, digits = matrix.scale, digits_of(matrix.values)
    letter = scale.name[0]
    shade = np.rint(scale.position(matrix.values) * (SHADES - 1)).astype(int)
    rows = tuple(
        tuple(
            Cell("1", "own") if i == j else Cell(short(float(value), digits), f"{letter}{shade[i, j]}")
            for j, value in enumerate(row)
        )
        for i, row in enumerate(matrix.values)
    )
    ticks = tuple(
        Axis(100 * float(scale.position(np.array(tick))), number(tick, None)) for tick in scale.ticks()
    )
    return Panel(
        method=matrix.method,
        title=method_title(matrix.method),
        models=matrix.models,
        rows=rows,
        ramp=tuple(f"{letter}{i}" for i in range(SHADES)),
        ticks=ticks,
        tree=_tree(matrix, labels),
        nearest=_nearest(matrix),
        digits=digits,
        measure=matrix.measure,
        data=_data(matrix),
    )


def shades(name: Palette) -> list[tuple[str, str]]:
    """Ground and ink of every shade, as `#rrggbb`."""
    grounds = [hex_colour(colour) for colour in palette(name, SHADES)]
    return [(ground, ink_on(ground)) for ground in grounds]


def _nearest(matrix: Matrix) -> dict[str, tuple[Pair, ...]]:
    found = {}
    for j, target in enumerate(matrix.models):
        others = [i for i in range(len(matrix.models)) if i != j]
        best = sorted(others, key=lambda i: (-matrix.values[i, j], matrix.models[i]))[:SHOWN_NEIGHBOURS]
        found[target] = tuple(pair(matrix, i, j) for i in best)
    return found


def _tree(matrix: Matrix, labels: Labels) -> TreeDrawing | None:
    tree = matrix.tree
    if tree is None:
        return None
    group_of: dict[GroupStyle | None, int] = {style: i for i, style in enumerate(labels.groups.values())}
    root = max(float(tree.linkage[:, 2].max()), 1e-9) * 1.02

    def place(distance: float) -> float:
        return round(WIDE * (1 - distance / root), 1)

    lines = tuple(
        (f"M{place(d1)} {10 * r1 + 5:g}L{place(d2)} {10 * r2 + 5:g}", group_of.get(group, -1))
        for d1, r1, d2, r2, group in branches(tree, labels)
    )
    ticks = tuple(Axis(place(tick) / WIDE * 100, number(tick, None)) for tick in distance_ticks(tree))
    return TreeDrawing(10.0 * len(tree.models), lines, ticks, tree.order, tree.method, tree.newick())


def _data(matrix: Matrix) -> str:
    """Names, affinities and ends of intervals for the script: JSON that cannot end its element."""

    def rounded(values: Float64[np.ndarray, "model model"]) -> Sequence[Sequence[float]]:
        rows: Any = np.round(values, 4).tolist()
        return [row[:i] for i, row in enumerate(rows)]  # below the diagonal: the rest is its mirror image

    content = {
        "models": matrix.models,
        "digits": digits_of(matrix.values),
        "affinity": rounded(matrix.values),
        "low": rounded(matrix.low),
        "high": rounded(matrix.high),
    }
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
