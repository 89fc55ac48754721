"""`atlas.json`: what an atlas is. Read by people and by other versions, so it has a format version."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from modelatlas.errors import InputError, StoreError
from modelatlas.store.files import explained, write_text
from modelatlas.store.layout import Layout

__all__ = ["FORMAT", "MIGRATIONS", "Migration", "read_document", "read_json", "write_document", "write_json"]

FORMAT: Final = 1
"""Version of the folder's layout. Raised when a reader of the version before would misread it."""

_PARTS: Final = {"state": str, "settings": dict, "probe": dict, "models": dict, "left_out": list}
_REMEDY: Final = "move it away and run the same `modelatlas chart` again, maps are kept"

Migration = Callable[[dict[str, Any]], dict[str, Any]]
MIGRATIONS: Final[Mapping[int, Migration]] = {}
"""From a format to the next: makes a document of format n + 1 out of one of format n."""


def read_document(root: Path, *, migrations: Mapping[int, Migration] = MIGRATIONS) -> dict[str, Any]:
    """Read `atlas.json` in the present format.

    Raises
    ------
    InputError
        There is no atlas in that folder.
    StoreError
        Damaged, not readable, or of a format that this version does not read.
    """
    path = Layout(root).document
    with explained(path, "read"):
        there = path.is_file()
    if not there:
        raise InputError(
            f"{root}: no atlas there (no atlas.json); `modelatlas chart ... --out {root}` makes one"
        )
    content = read_json(path, remedy=_REMEDY)
    version = content.get("format")
    if not isinstance(version, int) or version < 1:
        raise StoreError(
            f"{path} is damaged, or of something else than an atlas (its 'format' is {version!r}, no version "
            f"number): {_REMEDY}"
        )
    if version > FORMAT:
        raise StoreError(
            f"{path}: format {version} is newer than {FORMAT}, the newest that this version reads: "
            "pip install --upgrade modelatlas"
        )
    while version < FORMAT or version in migrations:
        if version not in migrations:
            raise StoreError(f"{path}: format {version} is no longer read: chart it anew in another folder")
        content, version = migrations[version](content), version + 1
    lost = [part for part, kind in _PARTS.items() if not isinstance(content.get(part), kind)]
    if lost:
        raise StoreError(f"{path} is damaged (no {lost[0]!r} in it): {_REMEDY}")
    return content | {"format": version}


def write_document(root: Path, content: Mapping[str, Any]) -> None:
    """Write `atlas.json`, whole or not at all."""
    write_json(Layout(root).document, {"format": FORMAT, **content})


def read_json(path: Path, *, remedy: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    StoreError
        It cannot be read, or is none; the message ends with the remedy.
    """
    try:
        with explained(path, "read"):
            content = json.loads(path.read_bytes())
    except ValueError as error:
        raise StoreError(f"{path} is damaged ({error}): {remedy}") from error
    if not isinstance(content, dict):
        raise StoreError(f"{path} is damaged (it holds no JSON object): {remedy}")
    return content


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object, whole or not at all."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
