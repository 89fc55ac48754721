"""Read the furniture catalogues and split their models between what training sees and what it never sees.

A catalogue is a Java properties file inside a zip: Latin-1 with `\\uXXXX` escapes, lines `key#n=value`. Sizes
are in centimetres; an OBJ's front is +z there, its back is -z.
"""

import hashlib
import math
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from minizoo.errors import MissingPackageError
from minizoo.kinds import kind_of
from minizoo.sources import ARCHIVES, models_folder

__all__ = ["SEEN_SPLITS", "Catalogue", "Item", "hold_out", "load", "parse"]

SEEN_SPLITS = ("train", "transfer")
_LICENCES = {
    "BlendSwap-CC-0": "CC0-1.0", "BlendSwap-CC-BY": "CC-BY-3.0", "Scopia": "CC-BY-3.0",
    "KatorLegaz": "CC-BY-3.0-US", "Reallusion": "CC-BY-3.0-US",
    "sweethome3d": "CC-BY-3.0 or GPL-2.0-or-later",
}  # fmt: skip


@dataclass(frozen=True)
class Item:
    """One model: metres, z up; `top` is where things stand on it, None if nothing may."""

    id: str
    name: str
    kind: str
    cls: str
    size: tuple[float, float, float]
    elevation: float
    top: float | None
    archive: str
    model: str
    creator: str
    licence: str
    rotation: tuple[float, ...] | None = None

    @property
    def path(self) -> Path:
        """Return the OBJ file."""
        return models_folder(self.archive) / self.model.lstrip("/")


@dataclass(frozen=True)
class Catalogue:
    """Items by id, and the pools of the two sides of the split."""

    items: dict[str, Item]
    seen: dict[str, tuple[str, ...]]
    unseen: dict[str, tuple[str, ...]]

    def pool(self, kind: str, split: str) -> tuple[str, ...]:
        """Ids of one kind that rooms of `split` may use."""
        return (self.seen if split in SEEN_SPLITS else self.unseen).get(kind, ())


def parse(raw: bytes) -> list[dict[str, str]]:
    """Parse one catalogue file into one dictionary per item."""
    text = re.sub(r"\\\r?\n\s*", "", raw.decode("latin-1"))
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found.group(1), 16)), text)
    head: dict[str, str] = {}
    items: dict[int, dict[str, str]] = defaultdict(dict)
    for line in map(str.strip, text.splitlines()):
        if not line or line[0] in "#!":
            continue
        key, _, value = line.partition("=")
        value = re.sub(r"\\([:=# ])", r"\1", value.strip())
        if found := re.fullmatch(r"(\w+)#(\d+)", key.strip()):
            items[int(found.group(2))][found.group(1)] = value
        else:
            head[key.strip()] = value
    return [
        {"license": head.get("license", "")} | item for _, item in sorted(items.items()) if "model" in item
    ]


def hold_out(ids: Iterable[str], share: float = 0.3) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split ids by their hash into (seen, unseen): stable when a catalogue grows, blind to names.

    Pools of one or two are shared by both sides: a room needs its toilet.
    """
    order = sorted(ids, key=lambda name: hashlib.sha256(f"split/{name}".encode()).hexdigest())
    if len(order) < 3:
        return tuple(order), tuple(order)
    held = max(2 if len(order) > 4 else 1, round(share * len(order)))
    return tuple(sorted(order[held:])), tuple(sorted(order[:held]))


def load() -> Catalogue:
    """Read all unpacked catalogues."""
    raw: list[tuple[str, dict[str, str]]] = []
    for archive in (*sorted((ARCHIVES / "furniture").glob("*.sh3f")), ARCHIVES / "sweethome3d.jar"):
        inner = "PluginFurnitureCatalog.properties"
        if archive.suffix == ".jar":
            inner = "com/eteks/sweethome3d/io/DefaultFurnitureCatalog.properties"
        if not archive.exists():
            raise MissingPackageError("sweethome3d", archive, "the furniture catalogue is missing")
        with zipfile.ZipFile(archive) as pack:
            raw += [(archive.stem, entry) for entry in parse(pack.read(inner))]
    if len(raw) < 800:
        raise MissingPackageError("sweethome3d-furniture", ARCHIVES, f"only {len(raw)} of 920 models found")
    return build(item for entry in raw if (item := _item(*entry)))


def build(items: Iterable[Item]) -> Catalogue:
    """Make a catalogue of items, split kind by kind."""
    by_id = {item.id: item for item in items}
    kinds: dict[str, list[str]] = defaultdict(list)
    for item in by_id.values():
        kinds[item.kind].append(item.id)
    split = {kind: hold_out(ids) for kind, ids in sorted(kinds.items())}
    return Catalogue(by_id, {k: s[0] for k, s in split.items()}, {k: s[1] for k, s in split.items()})


def _item(archive: str, entry: dict[str, str]) -> Item | None:
    size = _numbers([entry["width"], entry["depth"], entry["height"]], 0.01)
    width, depth, height = size
    kind = kind_of(entry["id"], entry["name"], entry["category"], (width, depth, height))
    if kind is None:
        return None
    drop = float(entry.get("dropOnTopElevation", math.nan)) / 100
    rotation = entry.get("modelRotation")
    return Item(
        id=entry["id"], name=entry["name"], kind=kind.name, cls=kind.cls, size=(width, depth, height),
        elevation=float(entry.get("elevation", 0)) / 100,
        top=height if math.isnan(drop) else drop if drop >= 0 else None,
        archive=archive, model=entry["model"], creator=entry.get("creator", ""), licence=_LICENCES[archive],
        rotation=_numbers(rotation.split(), 1) if rotation else None,
    )  # fmt: skip


def _numbers(words: Sequence[str], factor: float) -> tuple[float, ...]:
    return tuple(float(word) * factor for word in words)
