"""Look at what is there: contact sheets, pictures of the labels, and the state of the rendering."""

import colorsys
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from minizoo import store
from minizoo.kinds import PLACES, SEMANTIC
from minizoo.labels import compute, shown
from minizoo.labels.colour import bins
from minizoo.labels.meaning import OBJECTS
from minizoo.paths import write_bytes
from minizoo.worker import Site

__all__ = ["labels", "poster", "sheets", "status", "views"]

_TILE = 128
_MAPS = (
    "edge2d", "keypoint2d", "rgb2sfnorm", "rgb2depth", "rgb2mist", "reshade", "edge3d", "keypoint3d",
    "curvature",
)  # fmt: skip


def views(site: Site, split: str = "") -> Iterator[store.View]:
    """All views of this recipe: those in shards, then those of buildings that are still being made."""
    for path in sorted(site.shards.glob("*.zip")):
        if not split or path.stem.startswith(f"{split}-"):
            yield from store.read_shard(path, site.recipe)
    for floor in site.floors():
        building = floor.building
        if site.shard(floor).exists() or (split and building.split != split):
            continue
        head = {"building": building.name, "split": building.split, "size": site.settings.size}
        for file in (f for f in map(partial(site.room_file, building), floor.rooms) if f.exists()):
            room = json.loads(file.read_text(encoding="utf-8"))
            for camera in room["views"]:
                path = file.with_name(f"{camera['name']}.view")
                parts = store.unpack_view(path.read_bytes(), path)
                yield store.assemble(head, room, camera, parts["picture.webp"], parts["shape.lzma"])


def sheets(site: Site, folder: str, split: str = "", *, rows: int = 8, columns: int = 10) -> list[Path]:
    """Write one sheet per kind of room, views of different rooms first."""
    found: dict[str, list[np.ndarray]] = defaultdict(list)
    for view in views(site, split):
        picture = Image.fromarray(view.picture).resize((_TILE, _TILE), Image.Resampling.BOX)
        found[view.place].append(np.asarray(picture))
    written = []
    for place in (p for p in PLACES if p in found):
        spread = np.linspace(0, len(found[place]) - 1, min(rows * columns, len(found[place]))).astype(int)
        path = Path(folder) / f"rooms-{split or 'all'}-{place}.png"
        _save(path, _grid([found[place][k] for k in spread], columns))
        written.append(path)
    return written


def poster(site: Site, file: str, *, columns: int = 8) -> Path:
    """Write one picture with a row of views for every kind of room."""
    found: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
    for view in views(site):
        found[view.place].setdefault(view.name.rsplit("a", 1)[0], view.picture)  # the best view of a room
    rows = []
    for place in (p for p in PLACES if p in found):
        pictures = list(found[place].values())
        some = [pictures[k] for k in np.linspace(0, len(pictures) - 1, columns).astype(int)]
        rows.append(np.hstack([np.asarray(Image.fromarray(p).resize((_TILE, _TILE))) for p in some]))
    path = Path(file)
    _save(path, np.vstack(rows))
    return path


def labels(site: Site, file: str, count: int) -> Path:
    """Write the twenty labels of a few views as one picture."""
    tiles: list[np.ndarray] = []
    every = list(views(site))
    for view in [every[k] for k in np.linspace(0, len(every) - 1, min(count, len(every))).astype(int)]:
        tiles += _tiles(view)
    path = Path(file)
    _save(path, _grid(tiles, 7))
    return path


def status(site: Site) -> str:
    """Say what is done, split by split; a shard of another recipe or a spoilt one is an error."""
    done: Counter[str] = Counter()
    size: Counter[str] = Counter()
    finished: Counter[str] = Counter()
    for path in sorted(site.shards.glob("*.zip")):
        index = store.read_index(path, site.recipe)
        finished[index["split"]] += 1
        done[index["split"]] += sum(len(room["views"]) for room in index["rooms"])
        size[index["split"]] += path.stat().st_size
    lines = [f"recipe {site.recipe}, work in {site.work}, shards in {site.shards}"]
    floors = site.floors()
    for split in dict.fromkeys(floor.building.split for floor in floors):
        mine = [floor for floor in floors if floor.building.split == split]
        rooms = [(f.building, k) for f in mine if not site.done(f) for k in f.rooms]
        loose = sum(site.room_file(*room).exists() for room in rooms)
        lines.append(
            f"{split:9s} {finished[split]:3d} of {len(mine)} floors, {done[split]:5d} views, "
            f"{size[split] / 2**20:5.1f} MB packed; {loose} loose rooms, {len(rooms) - loose} to make"
        )
    return "\n".join(lines)


def _tiles(view: store.View) -> list[np.ndarray]:
    made = compute(view)
    value = made.values
    tiles = [
        _named("input", shown(view, "picture")), _named("denoise: input", shown(view, "noisy")),
        _named("inpainting_whole: input", shown(view, "holed")), _named("colorization: input", shown(view,
        "grey")),
    ]  # fmt: skip
    tiles += [
        _named(name, _spread(value[name], signed=name in ("rgb2sfnorm", "curvature"))) for name in _MAPS
    ]
    tiles += [_named(name, _palette(4096)[value[name] % 4096]) for name in ("segment2d", "segment25d")]
    tiles.append(_named("segmentsemantic", _palette(256)[value["segmentsemantic"]]))
    ab = np.concatenate([np.full((64, 64, 1), 65.0), bins()[value["colorization"]]], -1)
    from skimage.color import lab2rgb

    tiles.append(_named("colorization", lab2rgb(ab)))
    tiles.append(_lines(view))
    tiles.append(_words("room_layout", [f"{x:.2f}" for x in value["room_layout"]]))
    top = np.argsort(-value["class_1000"])[:8]
    tiles.append(_words("class_1000", [f"{OBJECTS[k]} {value['class_1000'][k]:.2f}" for k in top]))
    seen = sorted({SEMANTIC[k] for k in np.unique(value["segmentsemantic"]) if k < len(SEMANTIC)})
    tiles.append(_words("class_places", [view.place, "", *seen]))
    return tiles


def _lines(view: store.View) -> np.ndarray:
    """Draw the room's box into the picture."""
    image = Image.fromarray(view.picture).resize((256, 256))
    pen = ImageDraw.Draw(image)
    focal = 128 / np.tan(np.radians(view.fov) / 2)
    corners = np.array(
        [[x, y, z] for x in (0, view.size[0]) for y in (0, view.size[1]) for z in (0, view.size[2])]
    )
    for a in range(8):
        for b in range(a):
            if (corners[a] != corners[b]).sum() == 1:
                line = (np.linspace(corners[a], corners[b], 50) - view.location) @ view.rotation
                ahead = line[:, 2] < -0.05
                at = 128 + focal * line[:, :2] / np.maximum(-line[:, 2:], 0.05) * (1, -1)
                for k in range(49):
                    if ahead[k] and ahead[k + 1]:
                        pen.line([tuple(at[k]), tuple(at[k + 1])], fill=(255, 0, 0))
    return _named("room_layout, vanishing_point", np.asarray(image) / 255.0)


def _spread(values: np.ndarray, *, signed: bool) -> np.ndarray:
    """Stretch values to [0, 1] in three channels."""
    if signed:
        flat = values / 2 + 0.5
    else:
        low, high = np.percentile(values, (0.5, 99.5))
        flat = (values - low) / max(high - low, 1e-9)
    if flat.shape[-1] == 1:
        return np.repeat(flat, 3, -1)
    return flat if flat.shape[-1] == 3 else np.concatenate([flat, np.full_like(flat[..., :1], 0.5)], -1)


def _palette(count: int) -> np.ndarray:
    colours = [
        colorsys.hsv_to_rgb(k * 0.381 % 1, 0.4 + 0.4 * (k % 3) / 2, 0.6 + 0.35 * (k % 2))
        for k in range(count)
    ]
    return np.array([*colours[: count - 1], (0.0, 0.0, 0.0)])


def _named(name: str, picture: np.ndarray) -> np.ndarray:
    side = Image.Resampling.NEAREST if len(picture) < 128 else Image.Resampling.BOX
    image = Image.fromarray((255 * np.clip(picture, 0, 1)).astype(np.uint8)).resize((192, 192), side)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 178, 6 * len(name) + 6, 192), fill=(255, 255, 255))
    pen.text((3, 180), name, fill=(0, 0, 0))
    return np.asarray(image)


def _words(name: str, lines: list[str]) -> np.ndarray:
    image = Image.new("RGB", (192, 192), "white")
    ImageDraw.Draw(image).text((6, 4), "\n".join([name, "", *lines]), fill=(0, 0, 0))
    return np.asarray(image)


def _grid(tiles: list[np.ndarray], columns: int) -> np.ndarray:
    blank = np.full_like(tiles[0], 255)
    tiles = tiles + [blank] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[k : k + columns]) for k in range(0, len(tiles), columns)])


def _save(path: Path, picture: np.ndarray) -> None:
    data = io.BytesIO()
    form = "WEBP" if path.suffix == ".webp" else "PNG"
    Image.fromarray(picture).save(data, form, optimize=True, quality=85)
    write_bytes(path, data.getvalue())
