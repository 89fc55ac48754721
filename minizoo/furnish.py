"""Furnish a planned room by its kind: what stands where, in which groups, with which clutter.

`plan_room` is the one entry: building, index and attempt decide everything.
"""

import colorsys
import random
from collections.abc import Callable

from minizoo.catalogue import SEEN_SPLITS, Catalogue
from minizoo.geometry import Placement, Room, box_of, inward, rng_for, wall_length, wall_point
from minizoo.layout import Draft
from minizoo.plan import Building, Palette, place_of

__all__ = ["plan_room"]

_SMALL = {
    "living_room": ("vase", "stationery", "table_lamp", "media_player", "small_plant", "computer", "food",
    "phone"),
    "bedroom": ("table_lamp", "stationery", "vase", "small_plant", "clothes", "luggage", "media_player"),
    "kitchen": ("tableware", "tableware", "food", "kitchen_appliance", "kitchen_appliance"),
    "bathroom": ("toiletry", "small_plant", "vase"),
    "dining_room": ("tableware", "tableware", "food", "vase", "small_plant", "table_lamp"),
    "office": ("computer", "computer", "table_lamp", "stationery", "phone", "printer", "small_plant"),
    "child_room": ("toy", "toy", "toy", "stationery", "table_lamp"),
    "laundry": ("clothes", "toiletry", "kitchen_appliance", "box"),
    "music_room": ("media_player", "stationery", "vase", "keyboard", "table_lamp"),
    "games_room": ("tableware", "media_player", "toy", "food"),
}  # fmt: skip
_RUGS = ("living_room", "bedroom", "child_room", "dining_room", "music_room", "office")


def plan_room(
    building: Building, palette: Palette, catalogue: Catalogue, index: int, attempt: int = 0
) -> Room:
    """Plan room `index` of a building; another attempt gives another room of the same kind."""
    rng = rng_for("room", building.name, index, attempt)
    place = place_of(building, index)
    small = place in ("bathroom", "laundry")
    width = rng.uniform(2.3, 3.6) if small else rng.uniform(3.2, 5.7)
    depth = rng.uniform(2.3, 3.6) if small else rng.uniform(3.1, 5.2)
    room = Room(building.name, index, place, (round(width, 3), round(depth, 3), round(palette.height, 3)))
    _finish(room, palette, rng)
    draft = Draft(room, catalogue, palette, rng)
    draft.open_walls()
    _RECIPES[place](draft, rng)
    _common(draft, rng, building.split)
    return room


def _finish(room: Room, palette: Palette, rng: random.Random) -> None:
    """Choose the materials of the shell, and the light."""
    wet = room.place in ("bathroom", "kitchen", "laundry")
    wall = rng.choice(palette.walls)
    if room.place == "bathroom" or (wet and rng.random() < 0.35):
        wall = rng.choice(palette.wet_walls)
    elif rng.random() < 0.3:
        wall = rng.choice(palette.accents)
    walls = [wall] * 4
    if not wet and rng.random() < 0.25:
        walls[rng.randrange(4)] = rng.choice(palette.accents)
    room.surfaces = {f"wall{k}": surface for k, surface in enumerate(walls)}
    room.surfaces["floor"] = rng.choice(palette.wet_floors if wet else palette.dry_floors)
    white = rng.uniform(0.78, 0.92)
    room.surfaces["ceiling"] = {"type": "paint", "color": (white, white, white * 0.98), "rough": 0.9}
    room.surfaces["skirting"] = palette.woodwork
    day = rng.random() < 0.75
    room.light = {
        "day": day, "sky": rng.random(), "turn": rng.random(), "sun": rng.uniform(35,
        90) if day else rng.uniform(1, 6),
        "warm_sky": rng.random() < 0.3, "key": rng.uniform(0.2, 0.34), "ev": rng.uniform(-0.25, 0.25),
        "lamp": rng.uniform(15, 50) if day and rng.random() < 0.6 else rng.uniform(60, 140),
        "lamp_color": (1.0, rng.uniform(0.82, 0.97), rng.uniform(0.65, 0.9)),
    }  # fmt: skip


def _wall(draft: Draft, *kinds: str, count: int = 1, **more) -> list[int]:
    """Put up to `count` things against walls."""
    placed = []
    for _ in range(count):
        for _ in range(4):
            item = draft.pick(*kinds)
            if item and (index := draft.against_wall(item, **more)) is not None:
                placed.append(index)
                break
    return placed


def _living_room(draft: Draft, rng: random.Random) -> None:
    kinds = ("sofa", "sofa", "corner_sofa") if min(draft.room.size[:2]) > 4 else ("sofa",)
    for sofa in _wall(draft, *kinds, front=0.9):
        _sofa_group(draft, rng, sofa)
    _wall(draft, "armchair", count=rng.choice((0, 1)))
    _wall(
        draft,
        "bookcase",
        "chest",
        "fireplace",
        "glass_cabinet",
        "sideboard",
        count=rng.choice((1, 2, 3)),
        top=True,
    )
    _wall(draft, "floor_lamp", count=1)
    if rng.random() < 0.2:
        _wall(draft, "piano", front=0.5)


def _sofa_group(draft: Draft, rng: random.Random, sofa: int) -> None:
    """Put a coffee table before the sofa, armchairs at its ends, a television opposite."""
    room, host = draft.room, draft.room.placements[sofa]
    wall = round(host.turns) % 4
    if item := draft.pick("coffee_table"):
        table = draft.in_front(sofa, item, rng.uniform(0.3, 0.45), face=False, z=0.0, top=True)
        if table is not None and rng.random() < 0.7:
            seat = draft.pick("armchair")
            middle = room.placements[table]
            for side in rng.sample((-1, 1), rng.choice((1, 2))):
                if seat is None:
                    break
                dx, dy = inward(wall)
                reach = middle.size[0] / 2 + 0.35 + seat.size[1] / 2
                x, y = middle.x - dy * side * reach, middle.y + dx * side * reach
                # The chair's back points away from the table: along the wall, towards `side`.
                turns = {(0, 1): 0, (-1, 0): 1, (0, -1): 2, (1, 0): 3}[(-dy * side, dx * side)]
                if draft.free(box_of(seat.size, x, y, 0, turns)):
                    draft.place(seat, x, y, turns + rng.uniform(-0.1, 0.1), z=0.0)
    along = host.x if wall % 2 == 0 else host.y
    stand = draft.pick("tv_stand", "chest", height=1.0) or draft.pick("tv_stand")
    if stand:
        opposite = draft.against_wall(stand, walls=((wall + 2) % 4,), along=along, tries=2, top=True)
        if opposite is None:
            opposite = draft.against_wall(stand, top=True)
        screen = draft.pick("television")
        if opposite is not None and screen and stand.size[2] < 0.7 and stand.top is not None:
            low = room.placements[opposite]
            if screen.size[0] < low.size[0] + 0.3:
                draft.place(screen, low.x, low.y, low.turns, z=low.z + stand.top, support=opposite)


def _bedroom(draft: Draft, rng: random.Random) -> None:
    for bed in _wall(draft, "bed", front=0.5):
        table = draft.pick("bedside_table")
        for side in (-1, 1):
            if table and rng.random() < 0.85:
                draft.beside(bed, table, side, top=True)
    _wall(draft, "wardrobe", count=rng.choice((1, 1, 2)), front=0.4)
    _wall(draft, "chest", "dressing_table", "bookcase", "desk", count=rng.choice((1, 2)), top=True)
    _wall(draft, "armchair", "chair", "trunk", "drying_rack", count=rng.choice((1, 2, 3)))


def _kitchen(draft: Draft, rng: random.Random) -> None:
    walls = sorted(range(4), key=lambda w: -wall_length(draft.room.size, w) + rng.random() * 2)
    units = ["fridge", "base_cabinet", "kitchen_sink", "base_cabinet", "cooker", "base_cabinet", "dishwasher"]
    units += ["base_cabinet", "tall_cabinet", "base_cabinet", "washing_machine"]
    start = rng.choice((0, 1))
    left = _run(draft, rng, walls[0], units[start:])
    if len(left) > 2:
        _run(draft, rng, walls[1], left)
    if rng.random() < 0.75:
        table = draft.pick("dining_table", width=1.7)
        if table:
            draft.group(table, draft.pick("chair"), rng.choice((2, 3, 4)))
    elif bar := draft.pick("bar_table", "island"):
        draft.group(bar, draft.pick("bar_stool"), rng.choice((1, 2, 3)))
    _wall(draft, "bin", "bar_stool", "high_chair", "freezer", count=rng.choice((0, 1, 2)))


def _run(draft: Draft, rng: random.Random, wall: int, units: list[str]) -> list[str]:
    """Stand kitchen units side by side along a wall, with wall units above; return what found no place."""
    size, at = draft.room.size, 0.02
    units = list(units)
    while units and at < wall_length(size, wall) - 0.3:
        item = draft.pick(units[0], width=1.3)
        if item is None:
            units.pop(0)
            continue
        x, y = wall_point(size, wall, at + item.size[0] / 2, item.size[1] / 2 + 0.015)
        box = box_of(item.size, x, y, 0, wall)
        if not draft.free(box, 0.0):
            at += 0.1
            continue
        index = draft.place(item, x, y, wall, z=0.0, top=item.size[2] < 1.0 and item.kind != "kitchen_sink")
        if item.size[2] < 1.15:
            _above(draft, rng, wall, at + item.size[0] / 2, item.size[0], item.kind)
        at += item.size[0] + 0.001
        del index
        units.pop(0)
    return units


def _above(draft: Draft, rng: random.Random, wall: int, along: float, width: float, below: str) -> None:
    if below == "kitchen_sink" and rng.random() < 0.6:
        return
    item = draft.pick("hood" if below == "cooker" else "wall_cabinet", height=9)
    if item is None or item.size[0] > width + 0.02:
        return
    z = max(1.42, min(item.elevation, draft.room.size[2] - item.size[2] - 0.05))
    x, y = wall_point(draft.room.size, wall, along, item.size[1] / 2 + 0.004)
    if draft.free(box_of(item.size, x, y, z, wall), 0.0):
        draft.place(item, x, y, wall, z=z)


def _bathroom(draft: Draft, rng: random.Random) -> None:
    _wall(draft, "bathtub", "bathtub", "shower", corner=True)
    _wall(draft, "washbasin", front=0.3)
    _wall(draft, "toilet", front=0.3)
    if rng.random() < 0.35:
        _wall(draft, "bidet")
    if rng.random() < 0.4:
        _wall(draft, "washing_machine", top=True)
    _wall(draft, "towel_rack", "bath_radiator", count=rng.choice((1, 2)))
    _wall(draft, "laundry_basket", "bin", "stool", "chest", count=rng.choice((1, 2)), top=True)


def _dining_room(draft: Draft, rng: random.Random) -> None:
    if table := draft.pick("dining_table", width=2.4):
        draft.group(table, draft.pick("chair"), rng.choice((4, 6, 6, 8)))
    kinds = ("chest", "glass_cabinet", "bookcase", "sideboard", "fireplace")
    _wall(draft, *kinds, count=rng.choice((2, 3)), top=True)
    _wall(draft, "chair", "floor_lamp", "armchair", count=rng.choice((0, 1, 2)))


def _office(draft: Draft, rng: random.Random) -> None:
    for desk in _wall(draft, "desk", count=rng.choice((1, 2)), front=0.8, top=True):
        chair = draft.pick("office_chair")
        if chair:
            seat = draft.in_front(desk, chair, 0.05, face=True, z=0.0, shift=rng.uniform(-0.15, 0.15))
            del seat
        host = draft.room.placements[desk]
        screen = draft.pick("computer")
        item = draft.catalogue.items[host.item]
        if screen and item.top:
            dx, dy = inward(round(host.turns) % 4)
            x, y = host.x + dx * 0.02, host.y + dy * 0.02
            draft.place(screen, x, y, host.turns, z=host.z + item.top, support=desk)
    _wall(draft, "bookcase", "bookcase", "filing_cabinet", "sideboard", count=rng.choice((2, 3)), top=True)
    _wall(draft, "water_cooler", "bin", "printer", "white_board", "armchair", count=rng.choice((1, 2)))
    if rng.random() < 0.45 and (table := draft.pick("dining_table", width=1.9)):
        draft.group(table, draft.pick("chair", "office_chair"), rng.choice((2, 3, 4)))


def _child_room(draft: Draft, rng: random.Random) -> None:
    _wall(draft, "child_bed", "bunk_bed", front=0.4)
    if rng.random() < 0.4:
        _wall(draft, "child_bed", front=0.3)
    _wall(draft, "wardrobe", "chest", "bookcase", "dressing_table", count=rng.choice((2, 3, 4)), top=True)
    if table := draft.pick("child_table"):
        draft.group(table, draft.pick("child_chair"), rng.choice((2, 3)), tuck=0.08)
    for _ in range(rng.choice((2, 3, 4))):
        _on_floor(draft, rng, "floor_toy", "toy")


def _on_floor(draft: Draft, rng: random.Random, *kinds: str) -> None:
    """Leave a small thing somewhere on the floor."""
    item = draft.pick(*kinds, width=1.0)
    if item is None or max(item.size) < 0.12:
        return
    for _ in range(20):
        x, y, turns = (
            rng.uniform(0.4, draft.room.size[0] - 0.4),
            rng.uniform(0.4, draft.room.size[1] - 0.4),
            rng.uniform(0, 4),
        )
        if draft.free(box_of(item.size, x, y, 0, turns)):
            draft.place(item, x, y, turns, z=0.0)
            return


def _laundry(draft: Draft, rng: random.Random) -> None:
    _wall(draft, "washing_machine", count=2, top=True)
    _wall(draft, "kitchen_sink", "washbasin", count=1, top=False)
    _wall(draft, "drying_rack", "laundry_basket", "step_ladder", count=rng.choice((2, 3)))
    _wall(draft, "bookcase", "base_cabinet", "tall_cabinet", "box", count=rng.choice((1, 2)), top=True)
    _wall(draft, "water_heater", count=1)


def _music_room(draft: Draft, rng: random.Random) -> None:
    for piano in _wall(draft, "piano", front=0.8):
        bench = draft.pick("stool", width=0.9)
        if bench:
            draft.in_front(piano, bench, 0.12, face=True, z=0.0)
    _wall(draft, "guitar", "speaker", "speaker", count=rng.choice((2, 3)))
    for sofa in _wall(draft, "sofa", "armchair", count=2, front=0.5):
        if rng.random() < 0.5 and (item := draft.pick("coffee_table")):
            draft.in_front(sofa, item, 0.35, face=False, z=0.0, top=True)
    _wall(draft, "bookcase", "chest", "sideboard", count=rng.choice((2, 3)), top=True)
    _wall(draft, "floor_lamp", "chair", "keyboard", count=rng.choice((0, 1, 2)))


def _games_room(draft: Draft, rng: random.Random) -> None:
    table = draft.pick("game_table", width=min(max(draft.room.size[:2]) - 1.0, 2.8))
    if table:
        draft.group(table, None, 0)
    _wall(draft, "pinball", "fitness", "fitness", "dart_board", count=rng.choice((2, 3)))
    if bar := draft.pick("bar_table"):
        draft.group(bar, draft.pick("bar_stool"), rng.choice((1, 2)), tuck=0.05)
    _wall(draft, "sofa", "armchair", "sideboard", count=rng.choice((1, 2, 3)), top=True)
    _wall(draft, "bookcase", "tv_stand", count=1, top=True)


_RECIPES: dict[str, Callable[[Draft, random.Random], None]] = {
    "living_room": _living_room, "bedroom": _bedroom, "kitchen": _kitchen, "bathroom": _bathroom,
    "dining_room": _dining_room, "office": _office, "child_room": _child_room, "laundry": _laundry,
    "music_room": _music_room, "games_room": _games_room,
}  # fmt: skip


def _common(draft: Draft, rng: random.Random, split: str) -> None:
    """Radiators, plants, clutter, a rug, pictures, and the lamp under the ceiling."""
    room = draft.room
    for window in [o for o in room.openings if o.cls == "window" and o.sill > 0.6]:
        item = draft.pick("radiator", height=window.sill - 0.04)
        if item and rng.random() < 0.5:
            draft.against_wall(
                item, walls=(window.wall,), along=window.centre, tries=1, z=max(0.08, item.elevation)
            )
    if room.place not in ("bathroom", "laundry", "kitchen"):
        _wall(draft, "plant", count=rng.choice((0, 1, 1, 2)))
        if rng.random() < 0.12:
            _wall(draft, "clock", "air_conditioner", "wall_lamp", "fan")
    draft.scatter(_SMALL[room.place], rng.choice((6, 9, 12, 15)))
    if room.place in _RUGS and rng.random() < 0.6:
        _rug(draft, rng, split)
    for _ in range(
        rng.choice((1, 2, 3, 4)) if room.place not in ("bathroom", "kitchen") else rng.choice((0, 1))
    ):
        _picture(draft, rng, split)
    width, depth, height = room.size
    item = draft.pick("ceiling_lamp", height=9)
    x, y = width * rng.uniform(0.42, 0.58), depth * rng.uniform(0.42, 0.58)
    drop = item.size[2] if item else 0.1
    for _ in range(12):  # a bunk bed may reach up to it
        if item is None or draft.clear(box_of(item.size, x, y, height - drop - 0.002, 0)):
            break
        x, y = width * rng.uniform(0.25, 0.75), depth * rng.uniform(0.25, 0.75)
    else:
        item = None
    if item and drop < 0.9:
        draft.place(item, x, y, rng.randrange(4), z=height - drop - 0.002, solid=False)
    room.light["lamp_at"] = (x, y, height - min(drop, 0.9) - 0.1)


def _rug(draft: Draft, rng: random.Random, split: str) -> None:
    """Lay a rug in the middle or under the largest table; furniture may stand on it."""
    room = draft.room
    width, depth, _ = room.size
    size = (min(rng.uniform(1.3, 2.8), width - 0.6), min(rng.uniform(1.1, 2.2), depth - 0.6), 0.008)
    hosts = [p for p in room.placements if p.kind in ("coffee_table", "dining_table", "child_table", "bed")]
    x, y = (
        (hosts[0].x, hosts[0].y) if hosts else (width * rng.uniform(0.4, 0.6), depth * rng.uniform(0.4, 0.6))
    )
    x = min(max(x, size[0] / 2 + 0.05), width - size[0] / 2 - 0.05)
    y = min(max(y, size[1] / 2 + 0.05), depth - size[1] / 2 - 0.05)
    surface = {
        "type": "pattern", "pattern": "rug", "seed": f"{split}-{rng.randrange(10**9)}", "scale": 0.0,
        "rough": 0.95,
        "colours": [_strong(rng) for _ in range(4)],
    }  # fmt: skip
    room.placements.append(Placement("maker#rug", "rug", "rug", x, y, 0.0, 0, size, surface=surface))


def _strong(rng: random.Random) -> tuple[float, float, float]:
    return colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.1, 0.7), rng.uniform(0.2, 0.85))


def _picture(draft: Draft, rng: random.Random, split: str) -> None:
    """Hang a framed photograph on a free piece of wall at eye height."""
    room = draft.room
    size = (rng.uniform(0.3, 1.0), 0.025, rng.uniform(0.3, 0.75))
    for _ in range(20):
        wall = rng.randrange(4)
        length = wall_length(room.size, wall)
        along, z = (
            rng.uniform(size[0] / 2 + 0.1, length - size[0] / 2 - 0.1),
            rng.uniform(1.35, 1.75) - size[2] / 2,
        )
        x, y = wall_point(room.size, wall, along, size[1] / 2 + 0.002)
        box = box_of(size, x, y, z, wall)
        if draft.free(box, 0.06):
            break
    else:
        return
    frame = rng.choice(((0.03, 0.03, 0.03), (0.8, 0.8, 0.78), (0.3, 0.17, 0.08), (0.55, 0.42, 0.2)))
    surface = {
        "type": "picture", "pick": rng.random(), "frame": frame, "unseen": split not in SEEN_SPLITS,
        "mat": rng.random() < 0.4,
    }  # fmt: skip
    placed = Placement("maker#picture", "picture", "picture", x, y, z, wall, size, surface=surface)
    room.placements.append(placed)
    draft.solid.append((box, len(room.placements) - 1))
