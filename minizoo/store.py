"""Views on disk: single ones while a floor of a building is made, one shard per finished floor.

A shard is a zip of pictures (WebP), geometry (`geometry_code`) and one `index.json` that names the recipe,
the rooms, what stands in them and the cameras. Members are stored in a fixed order with a fixed date, so the
same views make the same bytes; zip's own checksums tell a spoilt member.
"""

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from minizoo.errors import RecipeChangedError, SpoiltViewError
from minizoo.geometry_code import decode, encode
from minizoo.paths import write_bytes

__all__ = [
    "View",
    "assemble",
    "pack",
    "picture_size",
    "read_index",
    "read_shard",
    "unpack_view",
    "view_bytes",
]

FORMAT = 1
_DATE = (2020, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class View:
    """One view as it is stored; lengths in metres, room axes z up, camera axes x right, y up, z backwards."""

    name: str
    building: str
    split: str
    place: str
    size: tuple[float, float, float]  # of the room
    picture: np.ndarray  # uint8 [p, p, 3]
    depth: np.ndarray  # float32 [s, s], along the view axis, 0 = no surface
    normal: np.ndarray  # float32 [s, s, 3], room axes, towards the camera
    instance: np.ndarray  # uint8 [s, s], 0 = no surface
    instances: tuple[dict, ...]  # entry k - 1 describes instance k: item, kind, cls
    location: np.ndarray  # [3]
    rotation: np.ndarray  # [3, 3], columns are the camera's axes
    yaw: float
    pitch: float
    fov: float  # degrees


def view_bytes(
    picture: np.ndarray, depth: np.ndarray, normal: np.ndarray, instance: np.ndarray, *, quality: int
) -> bytes:
    """Encode one view as a small zip of its picture and geometry."""
    image = io.BytesIO()
    Image.fromarray(picture).save(image, "WEBP", quality=quality, method=6)
    shape = encode(depth.astype(np.float32), normal.astype(np.float32), instance.astype(np.uint8))
    return _zip({"picture.webp": image.getvalue(), "shape.lzma": shape})


def unpack_view(data: bytes, where: Path | str) -> dict[str, bytes]:
    """Return the members of one view's file."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as pack:
            return {name: pack.read(name) for name in ("picture.webp", "shape.lzma")}
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise SpoiltViewError(where, f"spoilt view ({error})") from error


def pack(path: Path, head: dict, views: dict[str, dict[str, bytes]]) -> None:
    """Write a shard: `head` is its index, `views` the members of each view by name."""
    members = {"index.json": json.dumps({"format": FORMAT, **head}, separators=(",", ":")).encode()}
    for name, parts in sorted(views.items()):
        members[f"{name}.webp"], members[f"{name}.lzma"] = parts["picture.webp"], parts["shape.lzma"]
    write_bytes(path, _zip(members))


def read_index(path: Path, recipe: str | None = None) -> dict:
    """Read a shard's index; refuse one of another recipe if `recipe` says which is wanted."""
    try:
        with zipfile.ZipFile(path) as pack:
            index = json.loads(pack.read("index.json"))
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        raise SpoiltViewError(path, f"spoilt shard ({error})") from error
    if recipe is not None and index["recipe"] != recipe:
        raise RecipeChangedError(path, index["recipe"], recipe)
    return index


def read_shard(path: Path, recipe: str | None = None) -> Iterator[View]:
    """Yield all views of a shard, in order."""
    index = read_index(path, recipe)
    with zipfile.ZipFile(path) as pack:
        for room in index["rooms"]:
            for camera in room["views"]:
                try:
                    picture, shape = pack.read(f"{camera['name']}.webp"), pack.read(f"{camera['name']}.lzma")
                    yield assemble(index, room, camera, picture, shape)
                except (zipfile.BadZipFile, KeyError, OSError, EOFError, ValueError) as error:
                    raise SpoiltViewError(f"{path}:{camera['name']}", f"spoilt view ({error})") from error


def assemble(index: dict, room: dict, camera: dict, picture: bytes, shape: bytes) -> View:
    """Decode one view; `index` names building, split and stored size, `room` and `camera` are its entries."""
    depth, normal, instance = decode(shape, index["size"])
    rgb = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
    return View(
        name=f"{index['building']}/{camera['name']}", building=index["building"], split=index["split"],
        place=room["place"], size=tuple(room["size"]), picture=rgb, depth=depth, normal=normal,
        instance=instance,
        instances=tuple(room["instances"]), location=np.array(camera["location"]),
        rotation=np.array(camera["rotation"]), yaw=camera["yaw"], pitch=camera["pitch"], fov=camera["fov"],
    )  # fmt: skip


def picture_size(data: bytes) -> tuple[int, int]:
    """Width and height of a stored picture, in pixels."""
    with Image.open(io.BytesIO(data)) as image:
        return image.size


def _zip(members: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as pack:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, _DATE)
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED if name.endswith(".json") else zipfile.ZIP_STORED
            pack.writestr(info, content, compresslevel=9)
    return data.getvalue()
