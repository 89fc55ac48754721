"""A panel with axes: rules, ticks and labels in the figures' own font, lines and points within."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from modelatlas.report.sheet import INK, MUTED, RULE, Sheet, text_width

__all__ = ["Panel", "round_ticks"]

_SMALL: Final = 8.5


class Panel:
    """Axes at x, y inches from the top left corner of a sheet, over the ranges `across` and `along`.

    Attributes
    ----------
    axes
        Matplotlib's, in data units.
    """

    def __init__(
        self,
        sheet: Sheet,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        across: tuple[float, float],
        along: tuple[float, float],
    ) -> None:
        self._sheet, self._box = sheet, (x, y, width, height)
        self._across, self._along = across, along
        self.axes: Axes = sheet.axes(x, y, width, height)
        self.axes.set_xlim(*across)
        self.axes.set_ylim(*along)

    def x_of(self, value: float) -> float:
        """Inches from the left edge of the sheet."""
        x, _, width, _ = self._box
        return x + width * (value - self._across[0]) / (self._across[1] - self._across[0])

    def y_of(self, value: float) -> float:
        """Inches from the top edge of the sheet."""
        _, y, _, height = self._box
        return y + height * (self._along[1] - value) / (self._along[1] - self._along[0])

    def frame(self, *, x_label: str, y_label: str = "", y_ticks: bool = True, whole: bool = False) -> None:
        """Draw rules, ticks and labels; `whole`: the values across are whole numbers."""
        x, y, width, height = self._box
        for value in round_ticks(*self._across, whole=whole):
            self.axes.axvline(value, color=RULE, linewidth=0.5, zorder=0, clip_on=False)
            self._sheet.text(
                self.x_of(value), y + height + 0.17, f"{value:g}", size=_SMALL, colour=MUTED, across="center"
            )
        widest = 0.0
        for value in round_ticks(*self._along) if y_ticks else ():
            self.axes.axhline(value, color=RULE, linewidth=0.5, zorder=0, clip_on=False)
            self.beside(x - 0.08, self.y_of(value), f"{value:g}", size=_SMALL, colour=MUTED)
            widest = max(widest, text_width(f"{value:g}", size=_SMALL))
        self._sheet.text(x + width / 2, y + height + 0.4, x_label, across="center")
        if y_label:
            self._sheet.text(x - widest - 0.18, y + height / 2, y_label, across="center", angle=90)

    def beside(self, x: float, y: float, text: str, *, size: float = 9, colour: str = INK) -> None:
        """Set a label that ends at x, its small letters centred on y."""
        # Half an x-height below y; Matplotlib's own centring moves with the letters' ascenders.
        self._sheet.text(x, y + 0.36 * size / 72, text, size=size, colour=colour, across="right")

    def line(
        self,
        x: Float[np.ndarray, " n"] | Sequence[float],
        y: Float[np.ndarray, " n"],
        colour: str = INK,
        style: str = "-",
        *,
        marks: bool = False,
    ) -> None:
        """Draw a line, with a mark at each value if wanted; the panel's edges do not cut it."""
        self.axes.plot(
            x, y, color=colour, linestyle=style, linewidth=1.8, clip_on=False,
            marker="o" if marks else "", markersize=3.2, markeredgewidth=0,
        )  # fmt: skip


def round_ticks(low: float, high: float, *, whole: bool = False, most: int = 8) -> list[float]:
    """Round values between two ends, at most `most`; in steps of 1, 2 or 5 times a power of ten."""
    low, high = min(low, high), max(low, high)
    span = high - low or 1.0
    power = 10.0 ** np.floor(np.log10(span / most))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) < most)
    if whole:
        step = max(1.0, step)
    first = int(np.ceil(low / step - 1e-9))
    last = int(np.floor(high / step + 1e-9))
    ticks = [round(step * k, 10) + 0.0 for k in range(first, last + 1)]
    return [low, *ticks] if whole and ticks and ticks[0] > low and ticks[0] - low > step / 2 else ticks
