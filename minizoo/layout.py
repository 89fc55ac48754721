"""Plan one room: a draft that things are placed into without overlap, its openings, and its light.

Large furniture turns by quarters and keeps 2 cm clear of everything at the same height; things on tables and
on walls are tested too, by their z range. A place that cannot be found is no error: the room does without.
"""

import colorsys
import math
import random
from collections.abc import Sequence

from minizoo.catalogue import Catalogue, Item
from minizoo.geometry import Box, Opening, Placement, Room, box_of, inward, overlap, wall_length, wall_point
from minizoo.plan import Palette

__all__ = ["TINTED", "Draft"]

# Kinds whose colour is anybody's choice, and the group that shares one colour in a room. Cloth turns its hue;
# painted and wooden things are only multiplied by a colour, or wood turns green.
_CLOTH = {
    "sofa": "seats", "corner_sofa": "seats", "armchair": "seats", "bed": "bed", "child_bed": "bed",
    "curtain": "curtain", "chair": "chair", "office_chair": "office_chair", "bar_stool": "bar_stool",
    "child_chair": "child_chair", "vase": "vase", "toy": "toy", "clothes": "clothes", "stool": "stool",
}  # fmt: skip
_PAINTED = {
    "wardrobe": "storage", "chest": "storage", "bookcase": "storage", "bedside_table": "storage",
    "base_cabinet": "units", "wall_cabinet": "units", "tall_cabinet": "units", "bunk_bed": "bunk_bed",
    "desk": "desk", "dining_table": "dining_table", "child_table": "child_table",
}  # fmt: skip
TINTED = frozenset(_CLOTH) | frozenset(_PAINTED)
_SEATS = frozenset({"chair", "child_chair", "office_chair", "stool", "bar_stool"})


class Draft:
    """A room while it is being planned."""

    def __init__(self, room: Room, catalogue: Catalogue, palette: Palette, rng: random.Random) -> None:
        self.room, self.catalogue, self.palette, self.rng = room, catalogue, palette, rng
        self.solid: list[tuple[Box, int | None]] = []  # boxes and the placement each belongs to
        self.tops: list[int] = []
        self.tints: dict[str, tuple[float, float, float, float] | None] = {}

    # -- choosing and placing

    def pick(self, *kinds: str, width: float = 9.0, height: float | None = None) -> Item | None:
        """Draw a model of the building's choice that is not larger than asked."""
        tall = height if height is not None else self.room.size[2] - 0.05
        pool = [self.catalogue.items[i] for kind in kinds for i in self.palette.models.get(kind, ())]
        pool = [item for item in pool if item.size[0] <= width and item.elevation + item.size[2] <= tall]
        return self.rng.choice(pool) if pool else None

    def place(
        self, item: Item, x: float, y: float, turns: float, *, z: float | None = None,
        size: tuple[float, float, float] | None = None, solid: bool = True, support: int | None = None,
        top: bool = False,
    ) -> int:  # fmt: skip
        """Put a model somewhere and return its index."""
        size = size or item.size
        height = item.elevation if z is None else z
        placed = Placement(
            item.id, item.kind, item.cls, x, y, height, turns, size, support, self.tint(item.kind)
        )
        self.room.placements.append(placed)
        index = len(self.room.placements) - 1
        if solid:
            self.solid.append((box_of(size, x, y, height, turns), index))
        if top and item.top is not None and item.top >= 0.6 * item.size[2] and height + item.top < 1.4:
            self.tops.append(index)
        return index

    def tint(self, kind: str) -> tuple[float, float, float, float] | None:
        """Hue turn and factor per channel; one colour for all that belongs together in a room."""
        group = _CLOTH.get(kind) or _PAINTED.get(kind)
        if group is None:
            return None
        if group not in self.tints:
            rng = self.rng
            vivid = kind in _CLOTH and rng.random() < 0.5
            color = colorsys.hsv_to_rgb(
                rng.random(), rng.uniform(0.3, 0.8) if vivid else rng.uniform(0, 0.2), 1
            )
            value = rng.uniform(0.5, 1.0)
            tint = (rng.random() if kind in _CLOTH else 0.0, *(round(c * value, 4) for c in color))
            self.tints[group] = tint if rng.random() < 0.65 else None
        return self.tints[group]

    def box(self, index: int) -> Box:
        """Box round a placed thing."""
        p = self.room.placements[index]
        return box_of(p.size, p.x, p.y, p.z, p.turns)

    def free(self, box: Box, gap: float = 0.02, but: Sequence[int | None] = ()) -> bool:
        """Tell whether a box lies in the room and clear of all solid things except `but`."""
        width, depth, height = self.room.size
        if (
            min(box.x0, box.y0) < -1e-6
            or box.x1 > width + 1e-6
            or box.y1 > depth + 1e-6
            or box.z1 > height - 0.02
        ):
            return False
        return self.clear(box, gap, but)

    def clear(self, box: Box, gap: float = 0.02, but: Sequence[int | None] = ()) -> bool:
        """Tell whether a box is clear of all solid things except `but`."""
        return not any(
            overlap(box, other, gap) for other, owner in self.solid if owner is None or owner not in but
        )

    def against_wall(
        self, item: Item, *, walls: Sequence[int] = (0, 1, 2, 3), front: float = 0.0, corner: bool = False,
        along: float | None = None, z: float | None = None, top: bool = False, tries: int = 40,
    ) -> int | None:  # fmt: skip
        """Stand a thing with its back to a wall, with `front` metres free before it."""
        rng, size = self.rng, self.room.size
        height = item.elevation if z is None else z
        gap = 0.004 if height > 0.3 else 0.02  # on the wall, or clear of the skirting board
        for _ in range(tries):
            wall = rng.choice(tuple(walls))
            length, half = wall_length(size, wall), item.size[0] / 2
            if item.size[0] > length - 0.05:
                continue
            at = along if along is not None else rng.uniform(half + 0.02, length - half - 0.02)
            if corner:
                at = half + 0.02 if rng.random() < 0.5 else length - half - 0.02
            x, y = wall_point(size, wall, at, item.size[1] / 2 + gap)
            box = box_of(item.size, x, y, height, wall)
            if self.free(box) and (not front or self.free(_extended(box, wall, front))):
                return self.place(item, x, y, wall, z=z, top=top)
        return None

    def in_front(
        self, index: int, item: Item, distance: float, *, face: bool, shift: float = 0.0, **more
    ) -> int | None:
        """Place a thing `distance` before another, facing it (`face`) or turned the same way."""
        host = self.room.placements[index]
        wall = round(host.turns) % 4
        dx, dy = inward(wall)
        turns = (wall + 2) % 4 if face else wall
        out = host.size[1] / 2 + distance + item.size[1] / 2
        x, y = host.x + dx * out - dy * shift, host.y + dy * out + dx * shift
        if self.free(box_of(item.size, x, y, item.elevation, turns)):
            return self.place(item, x, y, turns, **more)
        return None

    def beside(
        self, index: int, item: Item, side: int, *, gap: float = 0.04, top: bool = False
    ) -> int | None:
        """Place a thing at the left (-1) or right (+1) of another, back to the same wall."""
        host = self.room.placements[index]
        wall = round(host.turns) % 4
        x, y = wall_point(self.room.size, wall, 0, item.size[1] / 2 + 0.02)
        along = (host.x if wall % 2 == 0 else host.y) + side * (host.size[0] / 2 + gap + item.size[0] / 2)
        x, y = (along, y) if wall % 2 == 0 else (x, along)
        if self.free(box_of(item.size, x, y, 0, wall)):
            return self.place(item, x, y, wall, top=top)
        return None

    def group(self, table: Item, chair: Item | None, seats: int, *, tuck: float = 0.16) -> int | None:
        """Place a table near the middle, chairs of one model round it, turned to it and pushed under."""
        rng, (width, depth, _) = self.rng, self.room.size
        for _ in range(60):
            turns = rng.randrange(4)
            size = table.size if turns % 2 == 0 else (table.size[1], table.size[0], table.size[2])
            margin = 0.45 if rng.random() < 0.7 else 0.05
            mx, my = size[0] / 2 + margin, size[1] / 2 + margin
            if 2 * mx > width or 2 * my > depth:
                continue
            x = 0.6 * rng.uniform(mx, width - mx) + 0.2 * width
            y = 0.6 * rng.uniform(my, depth - my) + 0.2 * depth
            box = box_of(table.size, x, y, 0, turns)
            if self.free(box, 0.05):
                break
        else:
            return None
        index = self.place(table, x, y, turns, top=True)
        if chair is None:
            return index
        slots = _seats_round(box, chair.size, tuck)
        rng.shuffle(slots)
        for cx, cy, facing in slots[:seats]:
            if self.free(box_of(chair.size, cx, cy, 0, facing), but=(index,)):
                self.place(chair, cx, cy, facing + rng.uniform(-0.08, 0.08), z=0.0)
        return index

    def scatter(self, kinds: Sequence[str], count: int) -> None:
        """Stand small things on what has a top; the scene later lets each down onto the real surface."""
        rng = self.rng
        for _ in range(count):
            if not self.tops:
                return
            index = rng.choice(self.tops)
            host, box = self.room.placements[index], self.box(index)
            item = self.pick(*kinds, width=0.75)
            if item is None or max(item.size) > 0.8:
                continue
            level = host.z + (self.catalogue.items[host.item].top or 0)
            turns = host.turns + (rng.uniform(-0.35, 0.35) if rng.random() < 0.7 else rng.uniform(0, 4))
            radius = [side / 2 for side in _footprint(item, turns)]
            if box.x1 - box.x0 < 2 * radius[0] + 0.04 or box.y1 - box.y0 < 2 * radius[1] + 0.04:
                continue
            x = rng.uniform(box.x0 + radius[0] + 0.02, box.x1 - radius[0] - 0.02)
            y = rng.uniform(box.y0 + radius[1] + 0.02, box.y1 - radius[1] - 0.02)
            spot = box_of(item.size, x, y, level, turns)
            seats = [i for i, p in enumerate(self.room.placements) if p.kind in _SEATS]
            if self.free(spot, 0.01, but=(index, *seats)):
                self.place(item, x, y, turns, z=level, support=index)

    # -- openings

    def open_walls(self) -> None:
        """Cut one or two doors and one to three windows, and keep the floor before them clear."""
        rng, wet = self.rng, self.room.place in ("bathroom", "laundry")
        kitchen = self.room.place == "kitchen"  # units stand under its windows
        doors = 1 if kitchen or rng.random() < 0.7 else 2
        for _ in range(doors):
            self._cut("door", rng.randrange(4))
        walls = rng.sample(range(4), 2)
        windows = [
            walls[0],
            *([walls[0]] if rng.random() < 0.5 else []),
            *([walls[1]] if rng.random() < 0.5 else []),
        ]
        for wall in windows:
            self._cut("window", wall, sill=0.8 if wet or kitchen else 0.0)

    def _cut(self, kind: str, wall: int, sill: float = 0.0) -> None:
        rng, room = self.rng, self.room
        pool = [self.catalogue.items[i] for i in self.palette.models[kind]]
        if not sill:
            pool = pool if kind == "door" else pool[:4]  # a building has few models of windows
        length, height = wall_length(room.size, wall), room.size[2]
        pool = [
            i for i in pool if i.elevation >= sill and i.size[0] < length - 0.7 and _reach(i) < height - 0.08
        ]
        if not pool:
            return
        item = rng.choice(pool)
        width = item.size[0]
        for _ in range(30):
            at = rng.uniform(width / 2 + 0.3, length - width / 2 - 0.3)
            near = (o for o in room.openings if o.wall == wall)
            if all(abs(o.centre - at) > (o.width + width) / 2 + 0.35 for o in near):
                break
        else:
            return
        room.openings.append(Opening(wall, at, width, item.elevation, item.size[2], item.id, item.cls))
        out = 0.9 if kind == "door" else 0.5 if item.elevation < 0.3 else 0.14
        x, y = wall_point(room.size, wall, at, out / 2)
        low = 0.0 if item.elevation < 0.3 else item.elevation
        self.solid.append((box_of((width, out, _reach(item) - low), x, y, low, wall), None))
        if kind == "window" and room.place not in ("bathroom", "laundry", "kitchen") and rng.random() < 0.6:
            self._curtains(room.openings[-1])

    def _curtains(self, window: Opening) -> None:
        rng, room = self.rng, self.room
        item = self.pick("curtain", height=3)
        if item is None:
            return
        top = min(room.size[2] - 0.06, window.sill + window.height + 0.15)
        low = 0.03 if rng.random() < 0.7 or window.sill < 0.3 else max(0.03, window.sill - 0.15)
        whole = item.size[0] > 1.4  # the model is a pair; the other is one panel
        width = window.width + 0.5 if whole else max(0.35, 0.35 * window.width)
        centres = [window.centre]
        if not whole:
            centres = [window.centre + side * (window.width / 2 + 0.1) for side in (-1, 1)]
        length = wall_length(room.size, window.wall)
        for centre in centres:
            at = min(max(centre, width / 2 + 0.01), length - width / 2 - 0.01)
            size = (width, 0.1, top - low)
            x, y = wall_point(room.size, window.wall, at, 0.1)
            box = box_of(size, x, y, low, window.wall)
            others = [o for o in room.openings if o is not window and o.wall == window.wall]
            if any(abs(o.centre - at) < (o.width + width) / 2 for o in others):
                continue
            index = self.place(item, x, y, window.wall, z=low, size=size, solid=False)
            self.solid.append((box, index))


def _reach(item: Item) -> float:
    return item.elevation + item.size[2]


def _footprint(item: Item, turns: float) -> tuple[float, float]:
    box = box_of(item.size, 0, 0, 0, turns)
    return box.x1 - box.x0, box.y1 - box.y0


def _extended(box: Box, wall: int, front: float) -> Box:
    """Box of a thing and of the floor before it."""
    x, y = inward(wall)
    return box._replace(
        x0=box.x0 + min(0, x) * front, x1=box.x1 + max(0, x) * front,
        y0=box.y0 + min(0, y) * front, y1=box.y1 + max(0, y) * front,
    )  # fmt: skip


def _seats_round(
    table: Box, chair: tuple[float, float, float], tuck: float
) -> list[tuple[float, float, int]]:
    """Seats along the four sides, as many as fit: x, y, turns (the back points away from the table)."""
    slots: list[tuple[float, float, int]] = []
    reach = chair[1] / 2 - tuck
    for low, high, across in ((table.x0, table.x1, True), (table.y0, table.y1, False)):
        count = max(1, math.floor((high - low) / (chair[0] + 0.15)))
        for k in range(count):
            at = low + (high - low) * (k + 0.5) / count
            if across:
                slots += [(at, table.y1 + reach, 0), (at, table.y0 - reach, 2)]
            else:
                slots += [(table.x0 - reach, at, 1), (table.x1 + reach, at, 3)]
    return slots
