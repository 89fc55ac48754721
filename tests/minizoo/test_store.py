"""Views on disk: what comes back, what is refused, what a kill leaves behind."""

import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from minizoo.errors import DiskFullError, RecipeChangedError, SpoiltViewError
from tests.minizoo.solids import SIZE, plane, sphere

from minizoo import geometry_code, paths, store

HEAD = {"recipe": "abc", "building": "train-000", "split": "train", "size": SIZE}


@pytest.fixture
def shard(tmp_path):
    depth, normal, instance = sphere((0, 0, -3.0), 0.8)
    picture = np.tile(np.linspace(40, 200, SIZE).astype(np.uint8)[:, None, None], (1, SIZE, 3))
    data = store.view_bytes(picture, depth, normal, instance, quality=90)
    camera = {
        "name": "r00a0v0", "location": [1, 2, 1.5], "rotation": np.eye(3).tolist(), "yaw": 0.1, "pitch": 0.0,
        "fov": 75.0,
    }  # fmt: skip
    rooms = [{"place": "office", "size": [4, 5, 2.6], "instances": [{}, {}], "views": [camera]}]
    path = tmp_path / "train-000.zip"
    store.pack(path, {**HEAD, "rooms": rooms}, {"r00a0v0": store.unpack_view(data, "here")})
    return path


@given(
    hnp.arrays(np.float32, (16, 16), elements=st.floats(0.25, 20, width=32)),
    hnp.arrays(np.float32, (16, 16, 3), elements=st.floats(-1, 1, width=32)),
    hnp.arrays(np.uint8, (16, 16)),
)
@settings(max_examples=20, deadline=None)
def test_geometry_comes_back_within_its_rounding(depth, normal, instance):
    norm = np.linalg.norm(normal, axis=-1, keepdims=True)
    normal = np.where(norm > 0.1, normal / np.maximum(norm, 0.1), np.float32([0, 0, 1])).astype(np.float32)
    back, unit, numbers = geometry_code.decode(geometry_code.encode(depth, normal, instance), 16)
    np.testing.assert_array_equal(numbers, instance)
    seen = instance > 0
    inverse = geometry_code.SCALE / np.where(seen, back, 1) - geometry_code.SCALE / np.where(seen, depth, 1)
    assert np.abs(inverse).max(initial=0) <= 0.51
    assert (back[~seen] == 0).all()
    assert np.degrees(np.arccos(np.clip((unit * normal).sum(-1), -1, 1))).max() < 1.0


def test_the_six_directions_of_a_room_come_back_exactly():
    normal = np.zeros((SIZE, SIZE, 3), np.float32)
    for k in range(6):
        normal[k::6, :, k % 3] = 1 if k < 3 else -1
    _, back, _ = geometry_code.decode(
        geometry_code.encode(np.ones((SIZE, SIZE), np.float32), normal, np.ones((SIZE, SIZE), np.uint8)), SIZE
    )
    np.testing.assert_array_equal(back, normal)


def test_a_plane_costs_little():
    depth, normal = plane((0.3, 0.2, 1.0), 2.0)
    ones = np.ones((SIZE, SIZE), np.uint8)
    assert len(geometry_code.encode(depth.astype(np.float32), normal.astype(np.float32), ones)) < 4000


def test_a_shard_gives_its_views_and_the_same_bytes_again(shard):
    (view,) = store.read_shard(shard, "abc")
    depth, _, instance = sphere((0, 0, -3.0), 0.8)
    assert (view.name, view.place, view.split) == ("train-000/r00a0v0", "office", "train")
    np.testing.assert_allclose(view.depth, depth, rtol=0.003)
    np.testing.assert_array_equal(view.instance, instance)
    assert np.abs(view.picture.astype(int)[:, 0, 0] - np.linspace(40, 200, SIZE)).max() < 6
    index = store.read_index(shard)
    again = shard.with_name("again.zip")
    with zipfile.ZipFile(shard) as pack:
        parts = {"picture.webp": pack.read("r00a0v0.webp"), "shape.lzma": pack.read("r00a0v0.lzma")}
    store.pack(again, {k: v for k, v in index.items() if k != "format"}, {"r00a0v0": parts})
    assert again.read_bytes() == shard.read_bytes()


def test_another_recipe_is_named_and_refused(shard):
    with pytest.raises(
        RecipeChangedError, match=r"made by recipe abc, this code makes xyz.*make it again"
    ) as caught:
        list(store.read_shard(shard, "xyz"))
    assert (caught.value.found, caught.value.wanted) == ("abc", "xyz")


def test_spoilt_shards_and_views_are_named(shard):
    data = bytearray(shard.read_bytes())
    where = data.find(b"RIFF") + 60
    data[where] ^= 0xFF
    broken = shard.with_name("broken.zip")
    broken.write_bytes(data)
    with pytest.raises(SpoiltViewError, match=r"broken\.zip:r00a0v0.*Delete it"):
        list(store.read_shard(broken))
    broken.write_bytes(shard.read_bytes()[:400])
    with pytest.raises(SpoiltViewError, match="spoilt shard"):
        store.read_index(broken)
    with pytest.raises(SpoiltViewError, match="half"):
        store.unpack_view(b"PK\x03\x04", "half.view")


def test_a_kill_while_writing_leaves_the_old_file_and_no_new_name(tmp_path, monkeypatch):
    path = tmp_path / "a.view"
    paths.write_bytes(path, b"old")

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(paths.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        paths.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert not [p for p in tmp_path.iterdir() if not p.name.startswith(".") and p != path]


def test_a_full_disk_says_where_and_how_to_go_on(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(paths.os, "replace", full)
    with pytest.raises(DiskFullError, match=r"MB needed. Make room and run the same command again"):
        paths.write_bytes(tmp_path / "a.view", b"x")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DiskFullError, match=str(tmp_path)):
        paths.check_disk(tmp_path, need_mb=10**9)


def test_the_index_is_plain_json(shard):
    with zipfile.ZipFile(io.BytesIO(shard.read_bytes())) as pack:
        index = json.loads(pack.read("index.json"))
    assert index["format"] == store.FORMAT
    assert index["rooms"][0]["views"][0]["fov"] == 75.0
