"""The probe `rooms`: the pictures of the probe's buildings as they were stored, and their manifest."""

import re
import zipfile
from pathlib import Path

from minizoo import store
from minizoo.errors import SpoiltViewError
from minizoo.notice import NOTICE
from minizoo.paths import write_bytes
from modelatlas._ids import bytes_digest, fingerprint
from modelatlas.probe import Probe, ProbeImage, open_probe
from modelatlas.probe.manifest import write_manifest

__all__ = ["room_of", "write_rooms"]

LICENCE = "CC BY 4.0; NOTICE.md names the creators of models and textures"


def room_of(view: str) -> str:
    """Name the room of a view: `probe-000/r07a0v2`, its first plan's third view, shows `probe-000/r07`."""
    found = re.match(r".*/r\d+", view)
    assert found is not None, view
    return found[0]


def write_rooms(shards: Path, out: Path, *, recipe: str) -> int:
    """Write pictures, manifest and notice of all finished floors of the probe; return how many pictures.

    Without any such floor what ships stays as it is: shards of the probe are not kept with the others.

    Views of one room are one `photograph`: the probe's order takes the first of every room before the second
    of any.

    Raises
    ------
    RecipeChangedError, SpoiltViewError
    """
    images = []
    for path in sorted(shards.glob("probe-*.zip")):
        index = store.read_index(path, recipe)
        with zipfile.ZipFile(path) as pack:
            for camera in (camera for room in index["rooms"] for camera in room["views"]):
                name = f"{index['building']}/{camera['name']}"
                try:
                    data = pack.read(f"{camera['name']}.webp")
                except (zipfile.BadZipFile, KeyError) as error:
                    raise SpoiltViewError(f"{path}:{camera['name']}", f"spoilt view ({error})") from error
                write_bytes(out / f"{name}.webp", data)
                images.append(_image(name, out / f"{name}.webp", data))
    if images:
        probe = Probe(
            name="rooms",
            images=tuple(images),
            digest=fingerprint([[image.id, image.sha256] for image in images]),
            left_out=(),
            root=out,
            source=f"rendered rooms, recipe {recipe}",
            rule="all views",
            seed=0,
            pool=len(images),
        )
        write_manifest(probe, out / "manifest.json")
        write_bytes(out / "NOTICE.md", NOTICE.read_bytes())
        return len(images)
    manifest = out / "manifest.json"
    return len(open_probe(manifest)) if manifest.exists() else 0


def _image(name: str, path: Path, data: bytes) -> ProbeImage:
    width, height = store.picture_size(data)
    return ProbeImage(
        id=name,
        path=path,
        sha256=bytes_digest(data),
        bytes=len(data),
        width=width,
        height=height,
        photograph=room_of(name),
        source="minizoo",
        licence=LICENCE,
    )
