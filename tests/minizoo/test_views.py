"""All labels of one view, and a pass of the real renderer where it is installed."""

import numpy as np
import pytest

pytest.importorskip("skimage", reason="labels need scikit-image")

from minizoo.kinds import SEMANTIC
from minizoo.labels import surface
from tests.minizoo.solids import FOV, looking, room

from minizoo import labels, store


@pytest.fixture(scope="module")
def view():
    rotation = looking(0.6, -0.1)
    size, location = (4.0, 5.0, 2.6), np.array([1.2, 1.5, 1.4])
    depth, world, instance = room(size, location, rotation)
    colours = np.array(
        [[0.9, 0.8, 0.7], [0.6, 0.7, 0.9], [0.7, 0.9, 0.7], [0.9, 0.6, 0.6], [0.5, 0.4, 0.3], [1, 1, 1]]
    )
    picture = (255 * colours[instance - 1]).astype(np.uint8)
    names = ("wall", "wall", "wall", "wall", "floor", "ceiling")
    return store.View(
        name="b/v", building="b", split="train", place="office", size=size, picture=picture,
        depth=depth.astype(np.float32), normal=world.astype(np.float32), instance=instance,
        instances=tuple({"item": n, "kind": n, "cls": n} for n in names),
        location=location, rotation=rotation,
        yaw=0.6, pitch=-0.1, fov=FOV,
    )  # fmt: skip


def test_every_task_has_its_label(view):
    made = labels.compute(view)
    assert tuple(made.values) == labels.NAMES
    shapes = {name: value.shape for name, value in made.values.items()}
    assert shapes["rgb2sfnorm"] == shapes["autoencoder"] == (64, 64, 3)
    assert shapes["curvature"] == (64, 64, 2)
    assert shapes["room_layout"] == shapes["vanishing_point"] == (9,)
    assert shapes["segment2d"] == shapes["segmentsemantic"] == (64, 64)
    for value in made.values.values():
        assert np.isfinite(value).all()
    assert made.masks["rgb2depth"].all()
    assert set(np.unique(made.values["segmentsemantic"])) <= {
        SEMANTIC.index(n) for n in ("wall", "floor", "ceiling")
    }
    assert made.values["class_places"].argmax() == 5


def test_labels_are_repeatable_and_shrink_by_area(view):
    first, again = labels.compute(view), labels.compute(view)
    for name in labels.NAMES:
        np.testing.assert_array_equal(first.values[name], again.values[name])
    blocks = (view.picture / 255.0).reshape(64, 2, 64, 2, 3).mean((1, 3))
    np.testing.assert_allclose(first.values["autoencoder"], blocks)
    assert labels.compute(view, color_size=32).values["colorization"].shape == (32, 32)


def test_unknown_depth_is_masked_and_spoils_no_neighbour(view):
    hole = store.View(**{**view.__dict__, "instance": view.instance.copy(), "depth": view.depth.copy()})
    hole.instance[40:50, 40:50], hole.depth[40:50, 40:50] = 0, 0
    made, whole = labels.compute(hole), labels.compute(view)
    assert not made.masks["rgb2depth"][20:25, 20:25].any()
    known = made.masks["rgb2depth"]
    gap = np.abs(made.values["rgb2depth"] - whole.values["rgb2depth"])[..., 0]
    assert gap[known].max() < 0.01


@pytest.mark.slow
def test_a_trial_with_five_rooms_renders_packs_resumes_and_labels(renderer, tmp_path):
    run, cache = renderer(tmp_path / "cache")

    assert run("render", "--tiny", "--workers", "1").returncode == 0
    shards = sorted(cache.glob("work/*/views/*.zip"))
    assert [path.stem for path in shards] == ["probe-tiny-0", "test-tiny-0", "train-tiny-0"]
    first = {path.name: path.read_bytes() for path in shards}
    found = [view for path in shards for view in store.read_shard(path)]
    assert len(found) >= 4
    for view in found:
        assert (view.instance > 0).mean() > 0.97
        made = labels.compute(view)
        assert view.depth[view.instance > 0].min() > 0.3
        at = surface.points(view.depth.astype(float), view.fov) @ view.rotation.T + view.location
        floor = (view.instance == 5) & (view.normal[..., 2] > 0.99)
        assert np.abs(at[floor][:, 2]).max(initial=0) < 0.05  # depth, camera and room agree
        toward = (made.values["rgb2sfnorm"] ** 2).sum(-1)
        np.testing.assert_allclose(toward, 1, atol=1e-5)

    # As if killed half-way: a shard, a room and a view are lost, a draft is left. All comes back the same.
    work = shards[0].parent.parent / "train-tiny"
    shards[2].unlink()
    (work / "r01.json").unlink()
    min(work.glob("r01*.view")).unlink()
    (work / ".r01a0v9.view.99.tmp").write_bytes(b"half")
    assert run("render", "--tiny", "--workers", "1").returncode == 0
    assert {path.name: path.read_bytes() for path in shards} == first
    assert "train" in run("status", "--tiny").stdout
