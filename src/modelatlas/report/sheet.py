"""A page to draw on, measured in inches from its top left corner, saved as PNG and SVG.

Sizes are computed before anything is drawn: `text_width` measures names in the figures' own font, so that a
page is as large as its names ask for. The font is shipped (assets/fonts), letters become outlines in SVG, and
neither file carries a date or a random id: the same atlas gives the same bytes and the same look everywhere.
Letters that it lacks are drawn each by an installed font that has them, or as a box.
"""

import io
import math
import warnings
from functools import cache
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, FontProperties
from matplotlib.ft2font import FT2Font

from modelatlas.report.groups import GroupStyle
from modelatlas.store.files import write_bytes

__all__ = ["FAINT", "INK", "MUTED", "RULE", "Sheet", "text_width", "wrapped"]

INK: Final = "#1b1f24"
MUTED: Final = "#59616b"
FAINT: Final = "#9aa2ac"
RULE: Final = "#d5d9de"
DOTS_PER_INCH: Final = 200
MOST_DOTS: Final = 40e6
"""Of a PNG; larger sheets are drawn less finely."""
LEADING: Final = 1.15
_FONTS: Final = Path(__file__).parent / "assets" / "fonts"
_MATPLOTLIBS: Final = Path(mpl.get_data_path()) / "fonts" / "ttf"
_LAST_RESORT: Final = _MATPLOTLIBS / "LastResortHE-Regular.ttf"


class Sheet:
    """A figure of `width` x `height` inches with absolute placement.

    Attributes
    ----------
    figure
        The Matplotlib figure, for tests and for what a sheet has no word for.
    """

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        dots = min(DOTS_PER_INCH, math.sqrt(MOST_DOTS / (width * height)))
        self.figure = Figure(figsize=(width, height), dpi=dots, facecolor="white")
        FigureCanvasAgg(self.figure)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 9,
        colour: str = INK,
        weight: str = "normal",
        slant: str = "normal",
        across: str = "left",
        angle: float = 0,
    ) -> None:
        """Set lines of text; the first one's baseline runs through x, y inches from the top left.

        `size` in points; `across` says which point of the line x is: left, center, right.
        """
        turn = math.radians(angle)
        for number, line in enumerate(_lines(text)):
            down = number * LEADING * size / 72
            self.figure.text(
                x + down * math.sin(turn),
                self.height - y - down * math.cos(turn),
                line,
                transform=self.figure.dpi_scale_trans,
                color=colour,
                fontproperties=_font(line, weight, slant, size),
                ha=across,
                va="baseline",
                rotation=angle,
                rotation_mode="anchor",
                parse_math=False,  # a $ in a name is a $
            )

    def middle(self, x: float, y: float, text: str, *, size: float, angle: float = 0, **options: Any) -> None:
        """Set lines of text around the line through x, y at `angle`, level with dots and digits there."""
        down = (0.34 - LEADING / 2 * text.count("\n")) * size / 72
        turn = math.radians(angle)
        self.text(
            x + down * math.sin(turn), y + down * math.cos(turn), text, size=size, angle=angle, **options
        )

    def name(self, x: float, y: float, text: str, style: GroupStyle, **options: Any) -> None:
        """Set a model's name as its group's are, around the line through x, y."""
        self.middle(x, y, text, colour=style.colour, weight=style.weight, slant=style.slant, **options)

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Bare axes with their top left corner at x, y."""
        box = (x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(box)
        axes.set_axis_off()
        return axes

    def save(self, stem: Path, *, title: str) -> list[Path]:
        """Write `stem`.png and `stem`.svg, each whole or not at all."""
        png, svg = (stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg"))
        return [self.save_png(png, title=title), self._save_svg(svg, title=title)]

    def save_png(self, path: Path, *, title: str) -> Path:
        """Write a PNG, of 200 dots per inch unless that is too large."""
        return self._write(path, format="png", metadata={"Software": None, "Title": title})

    def _save_svg(self, path: Path, *, title: str) -> Path:
        return self._write(path, format="svg", metadata={"Date": None, "Creator": None, "Title": title})

    def _write(self, path: Path, **options: Any) -> Path:
        buffer = io.BytesIO()
        settings: Any = {"svg.hashsalt": "modelatlas", "svg.fonttype": "path", "svg.image_inline": True}
        with mpl.rc_context(settings), warnings.catch_warnings():
            # A name may have letters that no installed font draws: a box each is what can be shown.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
            self.figure.savefig(buffer, facecolor="white", **options)
        write_bytes(path, buffer.getvalue())
        return path


def text_width(text: str, *, size: float, weight: str = "normal", slant: str = "normal") -> float:
    """Width in inches of the longest line of a text: its letters' advances, without kerning."""
    lines = [(line, _fonts(frozenset(line), weight, slant)) for line in _lines(text)]
    widths = [sum(_advance(_drawing(letter, paths), letter) for letter in line) for line, paths in lines]
    return max(widths) * size / 72


def _lines(text: str) -> list[str]:
    """Lines of a text; what cannot be shown, and would break XML, becomes a replacement character."""
    return ["".join(c if c.isprintable() else "\ufffd" for c in line) for line in text.split("\n")]


def wrapped(text: str, width: float, *, size: float, weight: str = "normal", slant: str = "normal") -> str:
    """Break a name into lines of at most `width` inches, where possible after a separator or a blank."""
    lines, rest = [], text
    while rest:
        cut = _longest_fit(rest, width, size=size, weight=weight, slant=slant)
        if cut < len(rest):
            natural = max((rest.rfind(mark, 0, cut) for mark in ":/_.-?&= "), default=-1) + 1
            cut = natural if natural > cut // 3 else cut
        lines.append(rest[:cut].strip())
        rest = rest[cut:]
    return "\n".join(lines)


def _longest_fit(text: str, width: float, **look: Any) -> int:
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text_width(text[:middle], **look) <= width else (low, middle - 1)
    return low


def _font(text: str, weight: str, slant: str, size: float) -> FontProperties:
    """Shipped font, behind it what draws the letters that it lacks; Matplotlib chooses for each letter."""
    own, *others = _fonts(frozenset(text), weight, slant)
    if not others:
        return FontProperties(fname=own, size=size)
    return FontProperties(family=[_family(path) for path in (own, *others)], size=size)


@cache
def _fonts(letters: frozenset[str], weight: str, slant: str) -> tuple[Path, ...]:
    """Shipped font of a style, then installed ones until all letters are there that any of them has.

    Next is always the font with the most missing letters; Matplotlib's own DejaVu Sans at a tie.
    """
    style = {"bold": "Bold", "normal": ""}[weight] + {"italic": "Italic", "normal": ""}[slant]
    chosen = [_FONTS / f"RobotoCondensed-{style or 'Regular'}.ttf"]
    missing = set(map(ord, letters)) - _letters(chosen[0])
    while missing:
        best = max(_installed(), key=lambda path: len(missing & _letters(path)))
        if not missing & _letters(best):
            break
        chosen.append(best)
        missing -= _letters(best)
    return tuple(chosen)


@cache
def _installed() -> tuple[Path, ...]:
    """Fonts that draw letters: not Matplotlib's font of last resort, which has a box for every one."""
    own = _MATPLOTLIBS / "DejaVuSans.ttf"
    known = {Path(entry.fname) for entry in font_manager.fontManager.ttflist}
    return (own, *sorted(path for path in known - {own} if path.name != _LAST_RESORT.name))


@cache
def _family(path: Path) -> str:
    """Name for this very file: a list of fonts names families, and a family may have many files."""
    name = f"modelatlas {path}"
    font_manager.fontManager.ttflist.append(FontEntry(fname=str(path), name=name))
    return name


def _drawing(letter: str, paths: tuple[Path, ...]) -> Path:
    """First font that has a letter, else what draws its box: older Matplotlibs take that of the first."""
    boxes = _LAST_RESORT if _letters(_LAST_RESORT) else paths[0]
    return next((path for path in paths if ord(letter) in _letters(path)), boxes)


@cache
def _advance(path: Path, letter: str) -> float:
    """Width of a letter in a font of size 1."""
    font = FT2Font(str(path))
    font.set_size(100, 72)
    return float(font.load_glyph(font.get_char_index(ord(letter))).linearHoriAdvance) / 65536 / 100


@cache
def _letters(path: Path) -> frozenset[int]:
    try:
        return frozenset(FT2Font(str(path)).get_charmap())
    except (OSError, RuntimeError):  # uninstalled since Matplotlib listed it, or damaged
        return frozenset()
