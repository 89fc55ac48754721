"""Planned rooms: nothing overlaps or leaves the room, seeds decide, splits share no model."""

import json
from collections import Counter
from dataclasses import asdict
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from minizoo.errors import MissingPackageError
from minizoo.geometry import Box, box_of, inward, overlap, rng_for, wall_point
from minizoo.kinds import KINDS, PLACES, kind_of

from minizoo import catalogue, furnish, plan

_SIZES = {
    "door": (0.9, 0.14, 2.05), "window": (0.9, 0.3, 1.3), "curtain": (1.5, 0.2, 2.2), "bed": (1.5, 2.1, 0.9),
    "wall_cabinet": (0.6, 0.4, 0.7), "hood": (0.6, 0.5, 0.5), "ceiling_lamp": (0.5, 0.5, 0.5),
}  # fmt: skip


@pytest.fixture(scope="module")
def furniture():
    """Five plain models of every kind, sized alike."""
    items = []
    for kind in KINDS:
        for k in range(5):
            size = _SIZES.get(kind.name, (0.55 + 0.1 * k, 0.5, 0.72))
            if (
                kind.name
                in furnish._SMALL["kitchen"] + furnish._SMALL["office"] + furnish._SMALL["child_room"]
            ):
                size = (0.2, 0.15, 0.2)
            elevation = {"window": 0.9, "wall_cabinet": 1.45, "hood": 1.56, "ceiling_lamp": 2.0}.get(
                kind.name, 0.0
            )
            items.append(
                catalogue.Item(
                    id=f"test#{kind.name}{k}",
                    name=kind.name,
                    kind=kind.name,
                    cls=kind.cls,
                    size=size,
                    elevation=elevation,
                    top=size[2],
                    archive="test",
                    model="",
                    creator="",
                    licence="CC0-1.0",
                )
            )
    return catalogue.build(items)


@pytest.fixture(scope="module")
def rooms(furniture):
    found = []
    for building in plan.buildings()[:4]:
        palette = plan.palette_of(building, furniture)
        found += [furnish.plan_room(building, palette, furniture, k) for k in range(20)]
    return found


def boxes(room):
    return [(p, box_of(p.size, p.x, p.y, p.z, p.turns)) for p in room.placements]


def test_everything_is_inside_the_room(rooms):
    for room in rooms:
        for placed, box in boxes(room):
            assert box.x0 > -1e-6, placed
            assert box.y0 > -1e-6, placed
            assert box.x1 < room.size[0] + 1e-6, placed
            assert box.y1 < room.size[1] + 1e-6, placed
            assert box.z0 >= 0, placed
            assert box.z1 <= room.size[2] + 1e-6, placed


def test_nothing_stands_in_anything_but_a_seat_under_its_table(rooms):
    seats = {"chair", "child_chair", "office_chair", "bar_stool", "stool"}
    for room in rooms:
        for (a, box_a), (b, box_b) in combinations(boxes(room), 2):
            pair = {a.kind, b.kind}
            hung = "ceiling_lamp" in pair or "rug" in pair
            seated = pair & seats and ("table" in {a.cls, b.cls} or pair <= seats)
            stacked = a.support is not None or b.support is not None
            curtains = pair == {"curtain"}
            if not (hung or seated or stacked or curtains):
                assert not overlap(box_a, box_b), (room.building, room.index, a, b)


def test_the_floor_before_doors_is_clear(rooms):
    for room in rooms:
        for opening in (o for o in room.openings if o.cls == "door"):
            x, y = wall_point(room.size, opening.wall, opening.centre, 0.45)
            zone = box_of((opening.width, 0.88, 1.9), x, y, 0.0, opening.wall)
            for placed, box in boxes(room):
                if placed.kind not in ("rug", "ceiling_lamp"):
                    assert not overlap(box, zone), (room.building, room.index, placed)


def test_openings_of_a_wall_keep_apart_and_off_the_corners(rooms):
    for room in rooms:
        assert any(o.cls == "door" for o in room.openings)
        for a, b in combinations(room.openings, 2):
            if a.wall == b.wall:
                assert abs(a.centre - b.centre) > (a.width + b.width) / 2 + 0.3


def test_things_stand_on_the_floor_a_wall_or_a_support(rooms):
    hanging = {"wall_cabinet", "hood", "ceiling_lamp", "picture", "curtain", "radiator"}
    for room in rooms:
        for placed in room.placements:
            if placed.z > 0.01 and placed.kind not in hanging:
                host = room.placements[placed.support]
                assert placed.z == pytest.approx(host.z + host.size[2])


def test_rooms_are_furnished(rooms):
    counts = Counter()
    for room in rooms:
        counts[room.place] += 1
        assert len(room.placements) >= 6, (room.place, len(room.placements))
    assert set(counts) == set(PLACES)
    assert max(counts.values()) == min(counts.values())


def test_the_seed_decides_and_another_attempt_differs(furniture):
    building = plan.buildings()[0]
    palette = plan.palette_of(building, furniture)

    def text(index, attempt):
        return json.dumps(asdict(furnish.plan_room(building, palette, furniture, index, attempt)))

    assert text(3, 0) == text(3, 0)
    assert len({text(3, 0), text(3, 1), text(4, 0)}) == 3


def test_no_model_or_texture_of_test_rooms_is_in_training_rooms(furniture):
    def used(split):
        chosen = [b for b in plan.buildings() if b.split == split]
        palettes = [plan.palette_of(b, furniture) for b in chosen]
        models = {item for p in palettes for ids in p.models.values() for item in ids}
        images = {s["name"] for p in palettes for s in (*p.walls, *p.wet_walls, *p.dry_floors, *p.wet_floors)
                  if s["type"] == "image"}  # fmt: skip
        return models, images

    train, probe = used("train"), used("probe")
    assert train[0]
    assert probe[0]
    assert not train[0] & probe[0]
    shared = train[1] & probe[1]
    assert shared <= set(plan.WET_WALLS) & set(plan.WET_FLOORS)  # a tile that is both on walls and floors


@given(
    st.sets(st.text("abcdef", min_size=1, max_size=6), min_size=3, max_size=40), st.text("xyz", min_size=1)
)
@settings(max_examples=50, deadline=None)
def test_holding_out_is_a_partition_that_barely_moves_when_a_model_is_added(ids, more):
    seen, unseen = catalogue.hold_out(ids)
    assert not set(seen) & set(unseen)
    assert set(seen) | set(unseen) == ids
    assert unseen
    again = catalogue.hold_out(sorted(ids, reverse=True))
    assert again == (seen, unseen)
    _, later = catalogue.hold_out(ids | {more})
    assert len(set(later) ^ set(unseen)) <= 3


def test_splits_are_interleaved_and_the_probe_is_a_thousand_views():
    order = plan.buildings()
    assert {b.split for b in order[:7]} == {"train", "transfer", "test", "val", "probe"}
    assert sum(b.rooms * 4 for b in order if b.split == "probe") == 1000
    assert len({b.name for b in order}) == len(order)
    train = sum(b.rooms for b in order if b.split == "train")
    assert 0.5 < train / sum(b.rooms for b in order if b.split != "probe") < 0.7
    assert all(25 <= b.rooms <= 50 for b in order)


def test_a_floor_has_every_kind_of_room_and_the_first_ones_are_of_all_splits():
    made = plan.floors()
    assert {f.building.split for f in made[:7]} == {"train", "transfer", "test", "val", "probe"}
    for floor in made:
        if len(floor.rooms) == plan.FLOOR:
            assert {plan.place_of(floor.building, k) for k in floor.rooms} == set(PLACES)
    rooms = Counter((f.building.name, k) for f in made for k in f.rooms)
    assert rooms == Counter((b.name, k) for b in plan.buildings() for k in range(b.rooms))


def test_kinds_are_read_from_the_top():
    assert kind_of("Scopia#chair", "Chair", "Living room", (0.5, 0.5, 0.9)).name == "chair"
    assert kind_of("a#b", "Stool", "Kitchen", (0.4, 0.4, 0.9)).name == "bar_stool"
    assert kind_of("a#b", "Table", "Living room", (1.4, 0.9, 0.75)).name == "dining_table"
    assert kind_of("a#b", "Truck", "Vehicles", (2, 5, 2)) is None
    assert kind_of("BlendSwap#lamp2", "Lamp", "Lights", (0.5, 0.5, 0.6)).name == "ceiling_lamp"


def test_a_properties_file_is_read_as_java_does():
    raw = b"# note\nlicense=CC\nid#1=a\nname#1=Caf\\u00e9 \\\n   au lait\nmodel#1=/x\\:y.obj\nid#2=b\n"
    (item,) = catalogue.parse(raw)
    assert item == {"license": "CC", "id": "a", "name": "Caf\u00e9 au lait", "model": "/x:y.obj"}


def test_a_missing_package_is_named_with_the_way_on(tmp_path, monkeypatch):
    from minizoo import sources

    monkeypatch.setattr(sources, "DOWNLOADS", tmp_path)
    with pytest.raises(
        MissingPackageError, match=r"sweethome3d-furniture 1.8-1: not fetched yet.*make minizoo-setup"
    ):
        sources.check()


@given(st.integers(0, 3), st.floats(0, 4))
@settings(max_examples=30, deadline=None)
def test_walls_face_inwards(wall, along):
    size = (4.0, 5.0, 2.5)
    x, y = wall_point(size, wall, along, 0.0)
    dx, dy = inward(wall)
    np_x, np_y = wall_point(size, wall, along, 1.0)
    assert (np_x - x, np_y - y) == pytest.approx((dx, dy))


def test_boxes_touch_without_overlap_and_turn_by_quarters():
    box = box_of((2.0, 1.0, 0.5), 3.0, 4.0, 0.0, 1)
    assert box == pytest.approx(Box(2.5, 3.5, 3.0, 5.0, 0.0, 0.5))
    above = box._replace(z0=0.5, z1=1.0)
    assert not overlap(box, above)
    assert overlap(box, box._replace(z0=0.3))
    assert rng_for("a", 1).random() == rng_for("a", 1).random() != rng_for("a", 2).random()
