"""Errors that say what, where, and how to go on.

All derive from `ModelAtlasError` and keep their parts as attributes. `exit_status` is what the command line
ends with: 2 where the input was wrong and nothing was run or written, 1 where something failed on the way.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final

__all__ = [
    "AttributionError",
    "CheckpointError",
    "ConflictError",
    "EmptyOverlapError",
    "FetchError",
    "IncompleteError",
    "InputError",
    "LockedError",
    "MissingExtraError",
    "ModelAtlasError",
    "ModelError",
    "ProbeError",
    "StoreError",
    "in_words",
    "one_line",
]

_MOST: Final = 500
_TERMINAL_CODES: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def one_line(text: str) -> str:
    """Text of others for tables and documents: on one line, without terminal codes, not too long."""
    return " ".join(_TERMINAL_CODES.sub("", text).split())[:_MOST]


def in_words(error: BaseException) -> str:
    """Kind and text of an error that is not ours, on one line."""
    text = one_line(str(error))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class ModelAtlasError(Exception):
    """Base of every error that ModelAtlas raises on purpose."""

    exit_status: ClassVar[int] = 1


class InputError(ModelAtlasError):
    """A spec, option, name or file given by the user is wrong; nothing was run or written."""

    exit_status = 2


class ConflictError(InputError):
    """An atlas was made with another setting, probe or weights than those asked for now."""

    def __init__(self, what: str, stored: object, asked: object) -> None:
        self.what = what
        self.stored = stored
        self.asked = asked
        super().__init__(
            f"{what}: {stored} in this atlas, {asked} now; go back to the former, or choose another folder "
            "with --out. Nothing was run or written"
        )


class LockedError(InputError):
    """Another process writes to the atlas."""


class MissingExtraError(InputError):
    """An optional package is not installed; names the extra that brings it."""

    def __init__(self, package: str, *, extra: str, needed_for: str, otherwise: str | None = None) -> None:
        self.package = package
        self.extra = extra
        also = f" ({otherwise})" if otherwise else ""
        super().__init__(
            f"{needed_for} needs the package {package!r}: pip install 'modelatlas[{extra}]'{also}"
        )


class AttributionError(ModelAtlasError):
    """No attribution can be computed: unknown layer, dead target, untraceable operation, wrong input."""


class ModelError(ModelAtlasError):
    """A model cannot be loaded or run."""

    def __init__(self, model: str, reason: str) -> None:
        self.model = model
        self.reason = reason
        super().__init__(f"{model}: {reason}")


class CheckpointError(ModelAtlasError):
    """A checkpoint file cannot be read: cut off, damaged, of another format, or not of arrays alone."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class ProbeError(ModelAtlasError):
    """A probe image cannot be used."""

    def __init__(self, image: str, reason: str) -> None:
        self.image = image
        self.reason = reason
        super().__init__(f"{image}: {reason}")


class StoreError(ModelAtlasError):
    """An atlas folder cannot be read or written: damaged, of a newer format, read-only, disk full."""


class FetchError(ModelAtlasError):
    """A download failed, is too large, or has another checksum than recorded."""


class IncompleteError(ModelAtlasError):
    """Nothing could be charted, or, under `--strict`, something was left out; what was finished is kept."""

    def __init__(self, charted: Sequence[str], *, excluded: Mapping[str, str], left_out: int) -> None:
        self.charted = tuple(charted)
        self.excluded = dict(excluded)
        self.left_out = left_out
        lost = [f"{name}: {reason}" for name, reason in self.excluded.items()]
        if left_out:
            lost.append(f"{left_out} files of the probe were not used (atlas.json says why)")
        head = "left out, and --strict was given" if charted else "no model could be charted"
        super().__init__(
            f"{head}: {'; '.join(lost)}. Repair them or leave them out with --exclude, and run again"
        )


class EmptyOverlapError(ModelAtlasError):
    """Two models have no probe image on which both maps are alive."""

    def __init__(self, first: str, second: str) -> None:
        self.pair = (first, second)
        super().__init__(
            f"{first} and {second} have no probe image on which both attribution maps are alive: "
            "take more images (--images), or leave one of them out (--exclude)"
        )
