"""Choose viewpoints: draw candidates, look with a coarse grid of rays, keep good ones that differ.

Eye height 1.0-1.75 m, no roll, a little downwards, as in Taskonomy. A view is refused when a wall or a thing
stands right before it, when it sees too little furniture, or when one thing fills it.
"""

import math
import random
from collections import Counter
from dataclasses import dataclass

import bpy
from mathutils import Matrix, Vector

from minizoo.geometry import Room, box_of

__all__ = ["Viewpoint", "search"]

_GRID = 20
_CANDIDATES = 7  # per wanted view
_SHELL = frozenset({"wall", "floor", "ceiling", "window", "door", "curtain"})


@dataclass(frozen=True)
class Viewpoint:
    """A camera: columns of `rotation` are right, up and backwards in room axes; angles in radians."""

    location: tuple[float, float, float]
    rotation: tuple[tuple[float, ...], ...]
    yaw: float
    pitch: float
    fov: float
    score: float = 0.0


def search(room: Room, instances: list[dict], count: int, fov: float, rng: random.Random) -> list[Viewpoint]:
    """Return up to `count` viewpoints, best first, no two alike."""
    bpy.context.view_layer.update()
    graph = bpy.context.evaluated_depsgraph_get()
    boxes = [box_of(p.size, p.x, p.y, p.z, p.turns) for p in room.placements if p.kind != "rug"]
    found: list[Viewpoint] = []
    for _ in range(500):
        if len(found) >= _CANDIDATES * count:
            break
        view = _draw(room, boxes, fov, rng)
        if view is not None and (score := _score(graph, instances, view)) is not None:
            found.append(Viewpoint(**{**view.__dict__, "score": round(score, 4)}))
    found.sort(key=lambda v: -v.score)
    kept: list[Viewpoint] = []
    for view in found:
        if len(kept) < count and all(_differ(view, other) for other in kept):
            kept.append(view)
    return kept


def _draw(room: Room, boxes: list, fov: float, rng: random.Random) -> Viewpoint | None:
    width, depth, height = room.size
    x, y = rng.uniform(0.25, width - 0.25), rng.uniform(0.25, depth - 0.25)
    z = min(rng.uniform(1.0, 1.75), height - 0.4)
    for b in boxes:
        inside = b.x0 - 0.25 < x < b.x1 + 0.25 and b.y0 - 0.25 < y < b.y1 + 0.25
        if inside and b.z0 < z + 0.15 and b.z1 > z - 0.25:
            return None
    tx, ty = width * rng.uniform(0.2, 0.8), depth * rng.uniform(0.2, 0.8)
    if math.hypot(tx - x, ty - y) < 0.8:
        return None
    yaw = math.atan2(ty - y, tx - x)
    pitch = math.radians(min(15.0, max(-30.0, rng.gauss(-8, 8))))
    ahead = Vector((math.cos(yaw) * math.cos(pitch), math.sin(yaw) * math.cos(pitch), math.sin(pitch)))
    rotation: Matrix = ahead.to_track_quat("-Z", "Y").to_matrix()
    return Viewpoint((x, y, z), tuple(tuple(row) for row in rotation), yaw, pitch, fov)


def _score(graph, instances: list[dict], view: Viewpoint) -> float | None:
    """Value of a view: kinds of things, furniture's share, number of things; None if it is refused."""
    scene, eye, rotation = bpy.context.scene, Vector(view.location), Matrix(view.rotation)
    reach = math.tan(math.radians(view.fov / 2))
    distances: list[float] = []
    seen: Counter[int] = Counter()
    for row in range(_GRID):
        for column in range(_GRID):
            u, v = ((k + 0.5) * 2 / _GRID - 1 for k in (column, row))
            ray = rotation @ Vector((u * reach, v * reach, -1))
            hit, at, _, _, thing, _ = scene.ray_cast(graph, eye, ray.normalized())
            if hit:
                distances.append((at - eye).length)
                seen[thing.pass_index] += 1
    rays = _GRID * _GRID
    distances.sort()
    if len(distances) < 0.97 * rays or distances[rays // 20] < 0.6 or distances[rays // 2] < 1.15:
        return None
    things = {n: c for n, c in seen.items() if c >= 3 and instances[n - 1]["cls"] not in _SHELL}
    share = sum(things.values()) / rays
    if len(things) < 3 or share < 0.12 or max(seen.values()) > 0.6 * rays:
        return None
    if things and max(things.values()) > 0.45 * rays:
        return None
    kinds = {instances[n - 1]["kind"] for n, c in seen.items() if c >= 3}
    return len(kinds) + 4 * min(share, 0.5) + 0.5 * min(len(things), 10)


def _differ(a: Viewpoint, b: Viewpoint) -> bool:
    turn = abs((a.yaw - b.yaw + math.pi) % (2 * math.pi) - math.pi)
    return turn > 0.35 and (math.dist(a.location, b.location) > 0.4 or turn > 0.8)
