"""Make the views of all buildings: claim a room, render what it lacks, pack a floor when it is done.

Any number of workers share the work by file locks, which die with their process. A room is planned again from
its seed after a stop; views that are there are kept, a half-written one never has its name. Workers leave
after some rooms and are started again, since Blender's memory grows with every model that it has seen.
"""

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import numpy as np

from minizoo import paths, store
from minizoo.catalogue import Catalogue, load
from minizoo.errors import MissingPackageError
from minizoo.geometry import rng_for
from minizoo.plan import Building, Floor, floors, palette_of
from minizoo.recipe import SHIPPED, TINY, Settings, fingerprint

__all__ = ["RECYCLE", "STUCK", "Site", "work"]

RECYCLE = 75  # exit status of a worker that should be started again
STUCK = 3  # of one that met an error that it can name: starting it again would not help
_SPARE = 3  # viewpoints beyond those wanted, for pictures that turn out dark or blown out


class Site:
    """Where one recipe's views lie."""

    def __init__(self, *, tiny: bool = False) -> None:
        self.tiny = tiny
        self.settings: Settings = TINY if tiny else SHIPPED
        self.recipe = fingerprint(self.settings)
        self.work = paths.WORK / self.recipe
        self.shards = self.work / "views" if tiny else paths.VIEWS

    def floors(self) -> list[Floor]:
        """All floors of this recipe, in order; three very small ones for a trial."""
        if self.tiny:
            rooms = {"train": 2, "test": 2, "probe": 1}
            return floors([[Building(f"{split}-tiny", split, count) for split, count in rooms.items()]])
        return floors()

    def room_file(self, building: Building, index: int) -> Path:
        """File that is there when a room is finished."""
        return self.work / building.name / f"r{index:02d}.json"

    def shard(self, floor: Floor) -> Path:
        """Shard of a floor."""
        return self.shards / f"{floor.name}.zip"

    def done(self, floor: Floor) -> bool:
        """Tell whether a floor need not be made.

        It is packed; or its pictures ship (the probe's); or the networks were trained without it.
        """
        if self.shard(floor).exists():
            return True
        if floor.building.split == "probe":
            return {f"{floor.building.name}/r{index:02d}" for index in floor.rooms} <= self.shipped
        return bool(self.settled) and floor.name not in self.settled

    @cached_property
    def settled(self) -> frozenset[str]:
        """Floors that the networks are trained, chosen, transferred and tested on; none before training."""
        path = paths.HOME / "buildings.json"
        if self.tiny or not path.exists():
            return frozenset()
        return frozenset(name for names in json.loads(path.read_text()).values() for name in names)

    @cached_property
    def shipped(self) -> frozenset[str]:
        """Rooms of the probe whose pictures of this recipe ship; their shards need not be made again."""
        path = paths.HOME / "rooms" / "manifest.json"
        if not path.exists():
            return frozenset()
        manifest = json.loads(path.read_text(encoding="utf-8"))
        mine = str(manifest["source"]).endswith(f"recipe {self.recipe}")
        return frozenset(image["photograph"] for image in manifest["images"] if mine)


def work(site: Site, *, rooms: int = 40, only: tuple[str, ...] = ()) -> int:
    """Work until nothing is left (0) or `rooms` rooms were made (RECYCLE). `only`: splits to make."""
    log = _quiet()
    catalogue = load()
    kit: dict[bool, object] = {}
    made = 0
    for floor in site.floors():
        if only and floor.building.split not in only:
            continue
        if site.done(floor):
            if site.shard(floor).exists():
                store.read_index(site.shard(floor), site.recipe)
            continue
        for index in floor.rooms:
            finished = site.room_file(floor.building, index)
            if finished.exists():
                continue
            with _claim(finished.with_suffix(".lock")) as mine:
                if not mine or finished.exists():
                    continue
                paths.check_disk(site.work)
                if kit and (floor.building.split == "probe") not in kit:
                    return RECYCLE  # the probe is rendered with other settings, in a process of its own
                began = time.monotonic()
                count = _room(site, floor.building, index, catalogue, kit)
                took = time.monotonic() - began
                print(
                    f"{floor.building.name} r{index:02d}: {count} views, {took:.1f} s", file=log, flush=True
                )
                made += 1
                if made >= rooms:
                    _pack(site, floor)
                    return RECYCLE
        _pack(site, floor)
    return 0


def _room(site: Site, building: Building, index: int, catalogue: Catalogue, kit: dict) -> int:
    """Make one room's views. Plans that allow too few views are drawn again, then taken as they are."""
    from minizoo import camera, furnish, render, scene

    probe = building.split == "probe"
    if probe not in kit:
        kit[probe] = render.Renderer(site.settings, probe=probe), scene.Stage(catalogue)
    renderer, stage = kit[probe]
    palette = palette_of(building, catalogue)
    wanted = site.settings.views
    for attempt in range(6):
        room = furnish.plan_room(building, palette, catalogue, index, attempt)
        instances = stage.build(room, building.split)
        rng = rng_for("camera", building.name, index, attempt)
        views = camera.search(room, instances, wanted + _SPARE, site.settings.field_of_view, rng)
        if len(views) >= wanted and len(instances) < 255:
            break
    done = []
    for number, view in enumerate(views):
        if len(done) == wanted:
            break
        name = f"r{index:02d}a{attempt}v{number}"
        path = site.work / building.name / f"{name}.view"
        flaw = path.with_suffix(".flaw")
        if not path.exists() and not flaw.exists():
            _shoot(site.settings, renderer, room.light, view, path, flaw, probe=probe)
        if path.exists():
            done.append({"name": name, **{k: v for k, v in asdict(view).items() if k != "score"}})
    entry = {
        "index": index, "place": room.place, "size": room.size, "attempt": attempt,
        "instances": [{k: e[k] for k in ("item", "kind", "cls")} for e in instances], "views": _rounded(done),
    }  # fmt: skip
    paths.write_bytes(site.room_file(building, index), json.dumps(entry).encode())
    return len(done)


def _shoot(settings: Settings, renderer, light: dict, view, path: Path, flaw: Path, *, probe: bool) -> None:
    """Render one view and write it, or write down what is wrong with it."""
    from minizoo import exposure

    passes = renderer.shoot(view)
    picture = exposure.develop(passes.light, key=light["key"], ev=light["ev"])
    if not probe:
        picture = exposure.shrink(picture, settings.oversample)
    if fault := exposure.fault(picture):
        paths.write_bytes(flaw, fault.encode())
        return
    pixels = np.rint(255 * picture).astype(np.uint8)
    data = store.view_bytes(pixels, passes.depth, passes.normal, passes.instance, quality=95 if probe else 85)
    paths.write_bytes(path, data)


def _pack(site: Site, floor: Floor) -> None:
    """Write the shard of a floor whose rooms are all there."""
    building = floor.building
    files = [site.room_file(building, index) for index in floor.rooms]
    if site.shard(floor).exists() or not all(file.exists() for file in files):
        return
    rooms = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    views = {}
    for camera in (camera for room in rooms for camera in room["views"]):
        path = site.work / building.name / f"{camera['name']}.view"
        views[camera["name"]] = store.unpack_view(path.read_bytes(), path)
    head = {
        "recipe": site.recipe, "building": building.name, "split": building.split, "size": site.settings.size,
        "rooms": rooms,
    }  # fmt: skip
    store.pack(site.shard(floor), head, views)


@contextmanager
def _claim(path: Path) -> Iterator[bool]:
    """Hold a lock file if nobody else does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _quiet():
    """Keep our own words and send Blender's chatter away: it prints lines for every import and render."""
    try:
        import bpy  # noqa: F401
    except ImportError as error:
        raise MissingPackageError("bpy 4.5.15", sys.executable, "the renderer is not installed") from error
    sys.stdout.flush()
    log = os.fdopen(os.dup(1), "w")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    sys.stderr = log
    return log


def _rounded(value):
    """Six digits are a thousandth of a pixel, and half the bytes."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, (list, tuple)) else value
