"""The groups of a figure: a dot and the group's name, set as its models' names are."""

from typing import Final

from matplotlib.lines import Line2D

from modelatlas.report.contents import Labels
from modelatlas.report.groups import GroupStyle
from modelatlas.report.sheet import Sheet, text_width

__all__ = ["dot", "legend_height", "place_legend"]

LINE: Final = 0.22
GAP: Final = 0.3


def legend_height(labels: Labels, width: float, *, size: float) -> float:
    """Height in inches of the legend when it is `width` inches wide; 0 where no model has a group."""
    return LINE * len(_lines(labels, width, size=size))


def place_legend(sheet: Sheet, labels: Labels, x: float, y: float, width: float, *, size: float) -> None:
    """Place the groups in lines of at most `width` inches, from x, y down."""
    for row, line in enumerate(_lines(labels, width, size=size)):
        middle = y + (row + 0.5) * LINE
        for start, group in line:
            dot(sheet, x + start + 0.05, middle, group)
            sheet.name(x + start + 0.15, middle, group.name, group, size=size)


def dot(sheet: Sheet, x: float, y: float, style: GroupStyle) -> None:
    """Draw the mark of a group."""
    sheet.figure.add_artist(
        Line2D(
            [x],
            [sheet.height - y],
            transform=sheet.figure.dpi_scale_trans,
            marker="o",
            markersize=4.5,
            markeredgewidth=0,
            color=style.colour,
            linestyle="none",
        )
    )


def _lines(labels: Labels, width: float, *, size: float) -> list[list[tuple[float, GroupStyle]]]:
    lines: list[list[tuple[float, GroupStyle]]] = []
    start = 0.0
    for group in labels.groups.values():
        room = 0.15 + text_width(group.name, **group.look(size))
        if not lines or start + room > width:
            lines.append([])
            start = 0.0
        lines[-1].append((start, group))
        start += room + GAP
    return lines
