"""Model specs: `<source>:<name>[?key=value&...]`, one line of text that names a model.

The name may hold colons (`python:pkg.nets:make`) and, before the `?`, anything else; values may hold `=`
and `?`. Nothing is percent-decoded: what is typed is what is meant.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from modelatlas.errors import InputError

__all__ = ["COMMON_OPTIONS", "ModelSpec", "check_name", "unknown_name"]

COMMON_OPTIONS: Final = ("weights", "layer", "random")
"""Keys that every source takes: an own checkpoint, the target layer, untrained weights."""

_SOURCE: Final = re.compile(r"[a-z][a-z0-9_-]*")
_HINT: Final = "a model spec looks like timm:resnet18 or timm:resnet18?random=0&layer=layer4"
_FORBIDDEN_IN_NAMES: Final = frozenset(",;:()[]'\"")


@dataclass(frozen=True)
class ModelSpec:
    """A parsed model spec.

    Attributes
    ----------
    text
        As given; the model's name where no zoo file gives another.
    source, name
        The part before and after the first colon, without options.
    options
        Keys and values; `weights` as a path that does not depend on a zoo file's folder any more.
    base
        Folder that a name which is a path starts from; None: the current folder.
    """

    text: str
    source: str
    name: str
    options: dict[str, str] = field(default_factory=dict, hash=False)
    base: Path | None = None

    @classmethod
    def parse(cls, text: str, *, base: Path | None = None) -> "ModelSpec":
        """Read a spec.

        Parameters
        ----------
        base
            Folder that relative paths start from (a zoo file's); None: the current folder.

        Raises
        ------
        InputError
            The text is not of that form, a key stands twice, or `random` is no seed.
        """
        head, mark, tail = text.partition("?")
        source, colon, name = head.partition(":")
        if (
            not colon
            or not name
            or not _SOURCE.fullmatch(source)
            or not text.isprintable()
            or text != text.strip()
        ):
            raise InputError(f"{text!r} is not a model spec: {_HINT}")
        options: dict[str, str] = {}
        for pair in tail.split("&") if mark else []:
            key, equals, value = pair.partition("=")
            if not equals or not key or not value:
                raise InputError(f"{text}: {pair!r} is not of the form key=value; {_HINT}")
            if key in options:
                raise InputError(f"{text}: the key {key!r} stands twice; keep one")
            options[key] = value
        if "weights" in options and base is not None:
            options["weights"] = str(base / Path(options["weights"]).expanduser())
        spec = cls(text=text, source=source, name=name, options=options, base=base)
        if spec.seed is not None and "weights" in options:
            raise InputError(f"{text}: weights= and random= exclude one another; keep one")
        return spec

    @property
    def seed(self) -> int | None:
        """Seed of untrained weights, None where the weights are trained ones."""
        if "random" not in self.options:
            return None
        value = self.options["random"]
        if not re.fullmatch(r"[0-9]{1,18}", value):
            raise InputError(
                f"{self.text}: random={value} is no seed; give a whole number from 0, as in random=0"
            )
        return int(value)

    @property
    def weights(self) -> Path | None:
        """The user's own checkpoint, if one is named."""
        return Path(self.options["weights"]).expanduser() if "weights" in self.options else None

    @property
    def path(self) -> Path:
        """The name as a file or folder, for sources whose names are paths."""
        path = Path(self.name).expanduser()
        return path if self.base is None else self.base / path

    @property
    def layer(self) -> str | None:
        """The target layer that the spec names."""
        return self.options.get("layer")


def check_name(name: str, *, where: str) -> str:
    """Return `name` if a zoo file may give it to a model.

    It stands in every CSV, tree and figure: printable, none of `,;:()[]'"`, no leading `=+-@` (spreadsheets
    would run it), no space at either end.

    Raises
    ------
    InputError
        Naming the first character that is not allowed.
    """
    if not name or name != name.strip():
        raise InputError(f"{where}: the name {name!r} is empty or has spaces at its ends; change it")
    if name[0] in "=+-@":
        raise InputError(f"{where}: the name {name!r} must not begin with {name[0]!r}; change it")
    for character in name:
        if character in _FORBIDDEN_IN_NAMES or not character.isprintable():
            raise InputError(f"{where}: the name {name!r} must not hold {character!r}; change it")
    return name


def unknown_name(spec: ModelSpec, known: Iterable[str], *, what: str = "network") -> InputError:
    """Make the error of a name that its source does not know: the nearest one that it does, or all."""
    names = sorted(known)
    close = get_close_matches(spec.name, names, n=1)
    hint = f"did you mean {spec.source}:{close[0]}?" if close else f"known are {', '.join(names)}"
    return InputError(f"{spec.text}: no such {what}; {hint}")
