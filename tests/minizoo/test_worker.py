"""Sharing and resuming the work, without a renderer."""

import json
import re

import numpy as np
import pytest

pytest.importorskip("skimage", reason="the overview draws labels")

from minizoo.__main__ import main
from minizoo.plan import Building, Floor
from minizoo.recipe import SHIPPED, TINY, Settings, fingerprint

from minizoo import paths, store, worker


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "WORK", tmp_path / "work")
    monkeypatch.setattr(paths, "VIEWS", tmp_path / "views")
    monkeypatch.setattr(paths, "HOME", tmp_path / "home")
    return worker.Site()


def finish(site, building, index):
    """Leave behind what a finished room leaves: one view and the room's file."""
    size = site.settings.size
    picture = np.full((size, size, 3), 10 * index, np.uint8)
    flat = np.zeros((size, size, 3), np.float32)
    flat[..., 2] = 1
    one = np.ones((size, size), np.float32)
    name = f"r{index:02d}a0v0"
    folder = site.work / building.name
    paths.write_bytes(folder / f"{name}.view", store.view_bytes(picture, one, flat, one, quality=90))
    view = {
        "name": name,
        "location": [0, 0, 1],
        "rotation": np.eye(3).tolist(),
        "yaw": 0,
        "pitch": 0,
        "fov": 75,
    }
    room = {
        "index": index,
        "place": "office",
        "size": [3, 3, 2.5],
        "instances": [{"cls": "wall"}],
        "views": [view],
    }
    paths.write_bytes(site.room_file(building, index), json.dumps(room).encode())


def test_a_floor_is_packed_when_its_last_room_is_there(site):
    building = Building("train-000", "train", 3)
    floor = Floor(building, 0, range(3))
    finish(site, building, 0)
    finish(site, building, 2)
    worker._pack(site, floor)
    assert not site.shard(floor).exists()
    finish(site, building, 1)
    worker._pack(site, floor)
    assert [v.picture[0, 0, 0] // 9 for v in store.read_shard(site.shard(floor), site.recipe)] == [0, 1, 2]


def test_a_packed_floor_is_never_written_again(site):
    building = Building("train-000", "train", 1)
    floor = Floor(building, 0, range(1))
    finish(site, building, 0)
    worker._pack(site, floor)
    before = site.shard(floor).stat().st_mtime_ns
    worker._pack(site, floor)
    assert site.shard(floor).stat().st_mtime_ns == before


def test_a_floor_of_the_probe_whose_pictures_ship_is_done(site):
    floors = [floor for floor in site.floors() if floor.building.split == "probe"]
    shown = [f"{floors[0].building.name}/r{index:02d}" for index in floors[0].rooms]
    for recipe, done in ((site.recipe, [True, False]), ("older", [False, False])):
        manifest = {
            "source": f"rendered rooms, recipe {recipe}",
            "images": [{"photograph": n} for n in shown],
        }
        paths.write_bytes(paths.HOME / "rooms" / "manifest.json", json.dumps(manifest).encode())
        assert [worker.Site().done(floor) for floor in floors[:2]] == done


def test_floors_that_nothing_was_trained_with_need_not_be_made(site):
    used, unused = [floor for floor in site.floors() if floor.building.split == "train"][:2]
    assert not worker.Site().done(unused)
    settled = {"training": [used.name], "validation": []}
    paths.write_bytes(paths.HOME / "buildings.json", json.dumps(settled).encode())
    assert [worker.Site().done(floor) for floor in (used, unused)] == [False, True]


def test_a_room_is_claimed_once_and_free_again_after(tmp_path):
    path = tmp_path / "r00.lock"
    with worker._claim(path) as mine:
        assert mine
        with worker._claim(path) as other:
            assert not other
    with worker._claim(path) as again:
        assert again


def test_the_recipe_changes_with_every_setting_and_not_by_itself():
    assert fingerprint(SHIPPED) == fingerprint(Settings())
    assert len({fingerprint(s) for s in (SHIPPED, TINY, Settings(samples=5), Settings(views=3))}) == 4


def test_status_names_a_shard_of_another_recipe_in_one_line(site, capsys):
    store.pack(site.shards / "train-000.zip", {"recipe": "older", "rooms": []}, {})
    assert main(["status"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "train-000.zip was made by recipe older" in err


def test_status_counts_floors_and_views(site, capsys):
    building = Building("train-000", "train", 1)
    floor = Floor(building, 0, range(1))
    finish(site, building, 0)
    worker._pack(site, floor)
    finish(site, Building("train-001", "train", 2), 0)
    assert main(["status"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"train +1 of \d+ floors, +1 views.* 1 loose rooms", out)


def test_sheets_are_written_for_the_kinds_that_are_there(site, tmp_path, capsys):
    building = Building("train-000", "train", 2)
    floor = Floor(building, 0, range(2))
    for index in range(2):
        finish(site, building, index)
    worker._pack(site, floor)
    assert main(["sheet", str(tmp_path / "sheets")]) == 0
    found = sorted(p.name for p in (tmp_path / "sheets").iterdir())
    assert found == ["rooms-all-office.png", "rooms.webp"]


def test_rendering_without_furniture_says_what_to_do(tmp_path, monkeypatch, capsys):
    from minizoo import sources

    monkeypatch.setattr(sources, "DOWNLOADS", tmp_path)
    assert main(["render"]) == 1
    assert "make minizoo-setup" in capsys.readouterr().err
