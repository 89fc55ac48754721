"""Manifests: a probe as a JSON file that travels with its pictures.

    {"format": "modelatlas-probe", "version": 1, "name": ..., "source": ..., "rule": ..., "seed": ...,
     "images": [{"id": ..., "path": ..., "sha256": ..., ...}, ...], "left_out": [{"item": ..., "reason": ...}]
    }

Paths are relative to the manifest and stay below its folder. Of an image only `path` and `sha256` must be
there.
"""

import json
import re
from dataclasses import fields
from pathlib import Path, PurePosixPath
from typing import Any, Final

from modelatlas.errors import InputError
from modelatlas.probe.folder import is_utf8, printable
from modelatlas.probe.probe import FORMAT, VERSION, Probe, ProbeImage

__all__ = ["read_manifest", "write_manifest"]

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_TYPES: Final = {field.name: str for field in fields(ProbeImage)} | dict.fromkeys(
    ("bytes", "width", "height"), int
)


def write_manifest(probe: Probe, path: Path) -> Path:
    """Write a probe's manifest as JSON."""
    path.write_text(json.dumps(probe.manifest(), indent=1) + "\n", encoding="ascii")
    return path


def read_manifest(path: Path) -> Probe:
    """Read what a manifest says; the pictures are not looked at, and the digest is left open.

    Raises
    ------
    InputError
        Not a manifest, of a newer version, or with an entry that cannot be (named).
    """
    values = _document(path)
    entries = values.get("images")
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{path}: the manifest lists no images")
    images = tuple(_image(path, number, entry) for number, entry in enumerate(entries))
    _refuse_twins(path, images)
    return Probe(
        name=printable(str(values.get("name") or path.parent.resolve().name)),
        images=images,
        digest="",
        left_out=(),
        root=path.parent,
        source=printable(str(values.get("source", ""))),
        rule=printable(str(values.get("rule", "as listed"))),
        seed=values["seed"] if isinstance(values.get("seed"), int) else 0,
        pool=len(images),
    )


def _document(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))  # editors may put a mark in front
    except OSError as error:
        raise InputError(f"{path}: the manifest cannot be read ({error.strerror or error})") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InputError(
            f"{path}: neither a folder of pictures nor a manifest (no JSON: {place}: {error.msg}): mend the "
            "manifest, or name the pictures' folder"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: neither a folder of pictures nor a manifest (JSON): name the pictures' folder"
        ) from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise InputError(f'{path}: not a probe manifest (it has no "format": "{FORMAT}")')
    if values.get("version") != VERSION:
        raise InputError(
            f"{path}: the manifest's version is {values.get('version')!r}, this ModelAtlas reads {VERSION}"
        )
    return values


def _image(manifest: Path, number: int, entry: Any) -> ProbeImage:
    where = f"{manifest}: image {number} (counted from 0)"
    if not isinstance(entry, dict):
        raise InputError(f"{where} is not an object with path and sha256")
    if unknown := sorted(set(entry) - set(_TYPES)):
        raise InputError(f"{where} has the unknown key {unknown[0]!r}; known are {', '.join(_TYPES)}")
    for key, kind in _TYPES.items():
        if key in entry and (not isinstance(entry[key], kind) or isinstance(entry[key], bool)):
            raise InputError(
                f"{where}: {key} is {entry[key]!r}, not {'a text' if kind is str else 'a whole number'}"
            )
        if key in entry and kind is str and not is_utf8(entry[key]):
            raise InputError(f"{where}: {key} is {entry[key]!r}, not UTF-8: rename it, here too")
    relative = PurePosixPath(entry.get("path", ""))
    if not relative.parts or relative.is_absolute() or ".." in relative.parts or "\0" in str(relative):
        raise InputError(f"{where}: path is {entry.get('path')!r}, not a file below the manifest's folder")
    sha256 = entry.get("sha256", "").lower()  # some tools write upper case
    if not _SHA256.fullmatch(sha256):
        raise InputError(f"{where}: sha256 is {entry.get('sha256')!r}, not 64 hexadecimal digits")
    known: dict[str, Any] = {"id": str(relative), "bytes": 0, "width": 0, "height": 0} | entry
    # All texts but the path are shown: none may steer a terminal or break a line.
    known |= {key: printable(text) for key, text in known.items() if isinstance(text, str)}
    known |= {"path": manifest.parent.joinpath(*relative.parts), "sha256": sha256}
    return ProbeImage(**known)


def _refuse_twins(manifest: Path, images: tuple[ProbeImage, ...]) -> None:
    for key in ("id", "sha256"):
        first: dict[str, str] = {}
        for image in images:
            value = getattr(image, key)
            if value in first:
                raise InputError(
                    f"{manifest}: {first[value]} and {image.id} have the same {key}: list it once"
                )
            first[value] = image.id
