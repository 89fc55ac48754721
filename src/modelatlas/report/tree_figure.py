"""The task-similarity tree as a dendrogram from left to right (the paper's figure S3).

Names carry their group by colour and by font style; a branch takes the colour of a group where all its leaves
belong to it. Distances are those at which rows of the affinity matrix merge.
"""

from typing import Final

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from modelatlas.report.contents import Labels, Matrix, method_title
from modelatlas.report.groups import NO_GROUP, GroupStyle
from modelatlas.report.legend import dot, legend_height, place_legend
from modelatlas.report.sheet import FAINT, MUTED, RULE, Sheet, text_width
from modelatlas.space import Tree

__all__ = ["Branch", "branches", "distance_ticks", "draw_tree"]

MARGIN: Final = 0.35
TITLE: Final = 0.72
BRANCHES: Final = 4.6

Branch = tuple[float, float, float, float, GroupStyle | None]
"""From distance, from row, to distance, to row, and the group that all leaves below share."""


def branches(tree: Tree, labels: Labels) -> list[Branch]:
    """Lines of a dendrogram: one along the distance for each node but the root, one across for each merge.

    Rows are 0, 1, ... in the order of the leaves; an inner node lies midway between its children.
    """
    count = len(tree.models)
    row = {tree.models.index(name): float(i) for i, name in enumerate(tree.order)}
    height = dict.fromkeys(row, 0.0)
    group: dict[int, GroupStyle | None] = {i: labels.style[name] for i, name in enumerate(tree.models)}
    lines: list[Branch] = []
    for k, (left, right, distance, _) in enumerate(tree.linkage, start=count):
        children = int(left), int(right)
        shared = group[children[0]] if group[children[0]] == group[children[1]] else None
        lines += [(height[c], row[c], distance, row[c], group[c]) for c in children]
        lines.append((distance, row[children[0]], distance, row[children[1]], shared))
        row[k], height[k], group[k] = (row[children[0]] + row[children[1]]) / 2, float(distance), shared
    return lines


def distance_ticks(tree: Tree) -> list[float]:
    """Round distances from 0 to at most the root's."""
    root = max(float(tree.linkage[:, 2].max()), 1e-9)
    ticks = MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]).tick_values(0, root)
    return [float(tick) for tick in ticks if 0 <= tick <= root * (1 + 1e-9)]


def draw_tree(matrix: Matrix, tree: Tree, labels: Labels, *, subtitle: str) -> Sheet:
    """Draw the tree of a matrix."""
    count = len(tree.models)
    pitch = float(np.interp(count, [5, 20, 40, 80], [0.34, 0.25, 0.205, 0.17]))
    size = min(10.0, pitch * 72 * 0.62)
    widest = max(text_width(labels.text(name), **labels.style[name].look(size)) for name in tree.models)
    left, top = MARGIN, MARGIN + TITLE
    width = max(left + BRANCHES + 0.2 + widest + MARGIN, 6.4)
    height = count * pitch
    under = legend_height(labels, width - 2 * MARGIN, size=9)
    sheet = Sheet(width, top + height + 0.72 + under + MARGIN)
    sheet.text(
        MARGIN, MARGIN + 0.18, f"Similarity tree by {method_title(matrix.method)}", size=14, weight="bold"
    )
    sheet.text(MARGIN, MARGIN + 0.42, subtitle, size=9, colour=MUTED)
    root = max(float(tree.linkage[:, 2].max()), 1e-9)

    def x(distance: float) -> float:
        return left + BRANCHES * (1 - distance / (root * 1.04))

    def line(x1: float, y1: float, x2: float, y2: float, colour: str, weight: float) -> None:
        sheet.figure.add_artist(
            Line2D(
                [x1, x2],
                [sheet.height - y1, sheet.height - y2],
                transform=sheet.figure.dpi_scale_trans,
                color=colour,
                linewidth=weight,
                solid_capstyle="round",
            )
        )

    base = top + height + 0.08
    for tick in distance_ticks(tree):
        line(x(tick), top, x(tick), base, RULE, 0.5)
        sheet.text(x(tick), base + 0.16, f"{tick:g}", size=8, colour=MUTED, across="center")
    line(left, base, left + BRANCHES, base, RULE, 0.8)
    caption = f"merge distance (Euclidean, between rows of the affinity matrix; {tree.method} linkage)"
    sheet.text(left, base + 0.36, caption, size=8.5)
    for d1, r1, d2, r2, group in branches(tree, labels):
        colour = group.colour if group and group != NO_GROUP else FAINT
        line(x(d1), top + (r1 + 0.5) * pitch, x(d2), top + (r2 + 0.5) * pitch, colour, 1.3)
    for i, name in enumerate(tree.order):
        style, middle = labels.style[name], top + (i + 0.5) * pitch
        dot(sheet, left + BRANCHES, middle, style)
        sheet.name(left + BRANCHES + 0.1, middle, labels.text(name), style, size=size)
    place_legend(sheet, labels, MARGIN, base + 0.55, width - 2 * MARGIN, size=9)
    return sheet
