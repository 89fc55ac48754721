"""Figures of a comparison: both matrices in one common order, and the scatter of their pairs.

The order is that of the first tree, so that what the second matrix does differently shows as disorder.
Colours cover each matrix's own range off the diagonal: two methods seldom share a scale.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Final

import numpy as np

from modelatlas.atlas import UNTRAINED
from modelatlas.evaluation import Comparison
from modelatlas.report.colour import Scale, palette
from modelatlas.report.plot import Panel
from modelatlas.report.sheet import MUTED, Sheet, text_width

__all__ = ["draw_comparison"]

DOT: Final = "#0063a0"
SMALLEST: Final = 3.0


def draw_comparison(
    comparison: Comparison, folder: Path, *, titles: tuple[str, str], untrained: Collection[str] = ()
) -> list[Path]:
    """Draw `compare-matrices` and `compare-scatter`, each as PNG and SVG.

    Parameters
    ----------
    titles
        What the two matrices are called.
    untrained
        Models that have untrained weights in either.

    Returns
    -------
        What was written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    short = tuple(title.rsplit("/", 1)[-1] for title in titles)
    short = short if len(set(short)) == 2 else titles
    return [
        *_matrices(comparison, short, untrained).save(
            folder / "compare-matrices", title="Two matrices of affinity"
        ),
        *_scatter(comparison, short).save(folder / "compare-scatter", title="Affinity of pairs of models"),
    ]


def _matrices(comparison: Comparison, titles: tuple[str, ...], untrained: Collection[str]) -> Sheet:
    order = [comparison.first.models.index(name) for name in comparison.first_tree.order]
    names = [name + UNTRAINED if name in untrained else name for name in comparison.first_tree.order]
    cell = min(0.24, 9.0 / len(names))
    size = min(9.0, cell * 72 * 0.72)
    shown_names = names if size >= SMALLEST else ()  # beyond some 150 models names cannot be read
    side = cell * len(names)
    label = 0.1 + max((text_width(name, size=size) for name in shown_names), default=0.0)
    side_shown = max(side, 1.6)
    top = 1.05
    sheet = Sheet(0.3 + label + 2 * side_shown + 0.5 + 0.3, top + side + 0.75 + label)
    sheet.text(0.3, 0.36, "Two matrices in one order", size=12, weight="bold")
    sheet.text(
        0.3, 0.58, "rows are sources, columns are targets; the diagonal is left out", size=8.5, colour=MUTED
    )
    for at, (matrix, title) in enumerate(zip((comparison.first, comparison.second), titles, strict=True)):
        x = 0.3 + label + at * (side_shown + 0.5)
        values = matrix.values[np.ix_(order, order)]
        scale = _scale(values)
        axes = sheet.axes(x, top, side, side)
        colours = palette(scale.name)
        shown = colours[np.round(scale.position(values) * (len(colours) - 1)).astype(int)]
        shown[np.eye(len(shown), dtype=bool)] = 0.93  # the diagonal says nothing
        axes.imshow(shown, interpolation="nearest", aspect="auto")
        sheet.text(x, top - 0.1, title, size=9)
        for place, name in enumerate(shown_names):
            centre = (place + 0.5) * cell
            if at == 0:
                sheet.text(x - 0.07, top + centre + 0.36 * size / 72, name, size=size, across="right")
            sheet.text(
                x + centre + size / 72 * 0.35, top + side + 0.07, name,
                size=size, across="right", angle=90,
            )  # fmt: skip
        _colour_bar(sheet, scale, x, top + side + label + 0.12)
    return sheet


def _scale(values: np.ndarray) -> Scale:
    """Scale of a matrix; of measured transfers, whose columns sum to 1, from 0 to the largest."""
    off = values[~np.eye(len(values), dtype=bool)]
    if off.min() >= 0 and off.max() < 0.1:
        return Scale(0.0, max(0.01, float(np.ceil(off.max() * 100) / 100)), diverging=False)
    return Scale.of(values)


def _colour_bar(sheet: Sheet, scale: Scale, x: float, y: float) -> None:
    width = 1.5
    axes = sheet.axes(x, y, width, 0.12)
    axes.imshow(palette(scale.name)[None], aspect="auto")
    for value in scale.ticks():
        at = float(scale.position(np.array(value)))
        sheet.text(x + width * at, y + 0.28, f"{value:g}", size=8, colour=MUTED, across="center")


def _scatter(comparison: Comparison, titles: tuple[str, ...]) -> Sheet:
    a, b = comparison.first.values, comparison.second.values
    symmetric = all(np.array_equal(matrix, matrix.T) for matrix in (a, b))
    pairs = np.triu(np.ones_like(a, dtype=bool), 1) if symmetric else ~np.eye(len(a), dtype=bool)
    x, y = a[pairs], b[pairs]
    sheet = Sheet(5.0, 5.3)
    sheet.text(0.3, 0.36, "Affinity of pairs of models", size=12, weight="bold")
    sheet.text(
        0.3, 0.58,
        f"{len(a)} models, {len(x)} {'' if symmetric else 'ordered '}pairs; "
        f"Pearson {comparison.pearson:.3f}, Spearman {comparison.spearman:.3f}",
        size=8.5, colour=MUTED,
    )  # fmt: skip
    panel = Panel(sheet, 0.85, 0.8, 3.85, 3.85, across=_range(x), along=_range(y))
    panel.frame(x_label=titles[0], y_label=titles[1])
    opacity = float(np.clip(60 / np.sqrt(len(x)) / 6, 0.15, 0.75))
    panel.axes.scatter(x, y, s=14, color=DOT, alpha=opacity, linewidths=0, clip_on=False)
    return sheet


def _range(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.04 * (high - low) or 0.05
    return low - margin, high + margin
