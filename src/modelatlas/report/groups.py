"""Groups of tasks, told apart by colour and by font style, as in the paper's trees.

Colours are after Okabe and Ito (2008), darkened until they can be read as text on white (4.5 : 1), and
lightened for a dark page. There are four font styles; groups beyond the paper's four take a colour of their
own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypedDict

__all__ = ["NO_GROUP", "GroupStyle", "Look", "group_styles"]


class Look(TypedDict):
    """Size in points, weight and slant of a font."""

    size: float
    weight: str
    slant: str


@dataclass(frozen=True)
class GroupStyle:
    """How the names of a group are set.

    Attributes
    ----------
    colour, dark_colour
        `#rrggbb` of text on a white and on a dark page.
    weight, slant
        Of the font.
    """

    name: str
    colour: str
    dark_colour: str
    weight: Literal["normal", "bold"] = "normal"
    slant: Literal["normal", "italic"] = "normal"

    def look(self, size: float) -> Look:
        """Font of a name of `size` points."""
        return {"size": size, "weight": self.weight, "slant": self.slant}


NO_GROUP: Final = GroupStyle("", "#24292f", "#d6dae0")

_PAPER: Final = {
    "2d": ("#0063a0", "#6db9f0", "normal", "normal"),
    "3d": ("#b04300", "#f59a62", "bold", "normal"),
    "geometric": ("#00734f", "#45c79b", "normal", "italic"),
    "semantic": ("#9b2f77", "#e79ac8", "bold", "italic"),
}
_FURTHER: Final = (
    ("#7a5900", "#dcb24b"),
    ("#5b4bb3", "#b0a5f5"),
    ("#a3262e", "#f58d8f"),
    ("#006d7a", "#4fc6d6"),
    ("#5c5f66", "#a9adb5"),
    ("#4f6b00", "#a9c64a"),
)
_FONTS: Final = (("normal", "normal"), ("bold", "normal"), ("normal", "italic"), ("bold", "italic"))


def group_styles(groups: Iterable[str | None]) -> dict[str, GroupStyle]:
    """Style of every group, the paper's four first, others by name; the same set always gets the same styles.

    Case does not matter for the paper's four. `None` and "" are no group.
    """
    names = sorted({group for group in groups if group}, key=lambda name: (_rank(name), name))
    further = 0
    styles = {}
    for name in names:
        look = _PAPER.get(name.lower())
        if look is None:
            turn = further // len(_FURTHER)  # each time round, a colour meets another font: 24 looks
            look = (*_FURTHER[further % len(_FURTHER)], *_FONTS[(further + turn * 3) % len(_FONTS)])
            further += 1
        colour, dark, weight, slant = look
        styles[name] = GroupStyle(name, colour, dark, weight, slant)  # type: ignore[arg-type]
    return styles


def _rank(name: str) -> int:
    paper = list(_PAPER)
    return paper.index(name.lower()) if name.lower() in paper else len(paper)
