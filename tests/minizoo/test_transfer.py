"""Readouts on the flat world; labels, training, transfers and package together on analytic rooms."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load, load_file, save

from flat_world import flat_world

pytest.importorskip("skimage", reason="labels need scikit-image")

from minizoo.dataset import Views
from minizoo.errors import RecipeChangedError, SpoiltViewError
from minizoo.labelled import NothingRenderedError, arrays, finished, label_shard, prepare
from minizoo.losses import BY_NAME, TARGETS, Goal
from minizoo.networks import build_encoder
from minizoo.readouts import ROWS, Budget, Split, codes_of, encode, readout, scratch, untrained, wanted
from minizoo.rooms_probe import room_of
from minizoo.training import Course, best_constant
from minizoo.trainings import train_all
from minizoo.transfers import Transfers
from minizoo.workplace import NotTrainedError, Workplace
from tests.minizoo.solids import FOV, looking, room

from minizoo import package, store
from modelatlas.evaluation import read_transfers
from modelatlas.probe import open_probe
from modelatlas.zoo.architectures.mini import CODE, Encoder

SPLIT = Split(flat_world(96, seed=1), flat_world(24, seed=2), flat_world(32, seed=3))
BUDGET = Budget(steps=60, batch=16)


pytestmark = pytest.mark.usefixtures("one_thread")


def goal_of(name):
    return Goal.fit(BY_NAME[name], SPLIT.training.label(BY_NAME[name]))


def codes_that_hold(label):
    """Codes of an imaginary encoder whose first channel is the label at 8 x 8, the others noise."""
    made = {}
    for seed, part in enumerate(("training", "validation", "test")):
        view = getattr(SPLIT, part)
        noise = np.random.default_rng(seed).normal(size=(len(view), *CODE)).astype(np.float32)
        noise[:, 0] = np.asarray(view.labels[label], np.float32).reshape(len(view), 8, 8, 8, 8).mean((2, 4))
        made[part] = torch.from_numpy(noise)
    return made


def test_a_code_that_holds_the_answer_beats_one_that_does_not():
    goal = goal_of("rgb2depth")
    answers = wanted(goal, SPLIT)
    knows, blind = codes_that_hold("rgb2depth"), codes_that_hold("rgb2depth")
    for part in blind:
        blind[part][:, 0] = blind[part][:, 1]
    good, bad = (readout(codes, answers, goal, budget=BUDGET) for codes in (knows, blind))
    constant = best_constant(goal, SPLIT.training, SPLIT.test, steps=60)
    assert good.shape == (len(SPLIT.test),)
    assert (good < bad).mean() > 0.9
    assert good.mean() < 0.8 * constant.mean()
    assert bad.mean() > 0.85 * constant.mean()  # nothing to learn, and nothing worse than the constant by far
    assert bad.mean() < 1.3 * constant.mean()


def test_the_same_readout_twice_gives_the_same_losses_and_another_seed_others():
    goal = goal_of("class_places")
    answers, codes = wanted(goal, SPLIT), codes_that_hold("rgb2depth")
    short = Budget(steps=10, batch=16)
    first, second = (readout(codes, answers, goal, budget=short) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    other = readout(codes, answers, goal, budget=Budget(steps=10, batch=16, seed=12))
    assert not np.array_equal(first, other)


def test_codes_are_standardised_so_that_scale_gains_nothing():
    encoder = untrained(SPLIT.training, seed=7)
    plain = encode(encoder, SPLIT, "plain")
    raw = codes_of(encoder, SPLIT.training, "plain")
    assert raw.min() >= 0
    alive = raw.std((0, 2, 3)) > 1e-3
    assert alive.sum() >= 4
    torch.testing.assert_close(
        plain["training"].mean((0, 2, 3))[alive], torch.zeros(int(alive.sum())), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(
        plain["training"].std((0, 2, 3))[alive], torch.ones(int(alive.sum())), atol=1e-3, rtol=0
    )
    with torch.no_grad():
        for parameter in encoder.compress[1].parameters():
            parameter.mul_(4)
    for part, codes in encode(encoder, SPLIT, "plain").items():
        torch.testing.assert_close(codes, plain[part], atol=0.1, rtol=0.05)


def test_noise_is_the_same_for_every_encoder():
    class Mean(Encoder):
        def forward(self, picture):
            return torch.nn.functional.avg_pool2d(picture, 16).mean(1, keepdim=True).expand(-1, 8, -1, -1)

    first, second = (codes_of(Mean(), SPLIT.test, "noisy") for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, codes_of(Mean(), SPLIT.test, "plain"))


def test_untrained_encoder_has_the_initial_weights_and_measured_statistics():
    encoder, fresh = untrained(SPLIT.training, seed=7), build_encoder(seed=7)
    for (name, a), b in zip(encoder.named_parameters(), fresh.parameters(), strict=True):
        assert torch.equal(a, b), name
    codes = codes_of(encoder, SPLIT.test, "plain")
    assert 0.2 < (codes > 0).float().mean() < 0.8
    assert codes_of(fresh, SPLIT.test, "plain").std() < 0.5 * codes.std()


def test_scratch_learns_with_the_same_budget():
    goal = goal_of("rgb2depth")
    budget = Budget(steps=20, batch=16)
    losses = scratch(SPLIT, wanted(goal, SPLIT), goal, seed=7, budget=budget)
    assert losses.mean() < 0.95 * best_constant(goal, SPLIT.training, SPLIT.test, steps=40).mean()


# -- the whole, on analytic rooms in shards


def write_shard(folder, name, rooms, seed, *, recipe="test", step=1):
    """Write a building of analytic rooms; `step` 2 halves the views, as the trial recipe does."""
    rng = np.random.default_rng(seed)
    entries, members = [], {}
    for index in range(rooms):
        size = (float(rng.uniform(3, 5)), float(rng.uniform(3, 5)), 2.6)
        views = []
        colours = rng.uniform(40, 255, (6, 3))
        for number in range(2):
            yaw, pitch = float(rng.uniform(-3, 3)), float(rng.uniform(-0.3, 0.1))
            at = [float(rng.uniform(1, s - 1)) for s in size[:2]] + [1.4]
            depth, normal, instance = room(size, at, looking(yaw, pitch))
            picture = np.clip(colours[instance - 1] + rng.normal(0, 4, (128, 128, 3)), 0, 255).astype(
                np.uint8
            )
            view = f"r{index:02d}v{number}"
            passes = [a[::step, ::step] for a in (picture, depth, normal, instance)]
            packed = store.view_bytes(*passes, quality=90)
            members[view] = store.unpack_view(packed, view)
            camera = {
                "location": at,
                "rotation": looking(yaw, pitch).tolist(),
                "yaw": yaw,
                "pitch": pitch,
                "fov": FOV,
            }
            views.append({"name": view, **camera})
        kinds = ("wall", "wall", "wall", "wall", "floor", "ceiling")
        things = [{"item": kind, "kind": kind, "cls": kind} for kind in kinds]
        entries.append({"place": "office", "size": size, "instances": things, "views": views})
    split = name.split("-")[0]
    head = {"recipe": recipe, "building": name, "split": split, "size": 128 // step, "rooms": entries}
    store.pack(folder / f"{name}.zip", head, members)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learning")
    buildings = {"train-000": 4, "train-001": 2, "val-000": 2, "transfer-000": 3, "test-000": 2}
    for seed, (name, rooms) in enumerate([*buildings.items(), ("probe-000", 3)]):
        write_shard(folder / "shards", name, rooms, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minizoo.labelled.LEARNING", folder / "learning")
        yield Workplace(
            folder / "shards", folder / "home", "test", Course(steps=6, batch=8),
            Budget(steps=6, batch=8, constant_steps=10),
            {"training": "train", "validation": "val", "transfer": "transfer", "test": "test"},
            say=lambda _: None, root=folder / "learning",
        )  # fmt: skip


def test_labels_training_transfers_and_package_of_two_tasks(place):
    views = place.views("training")
    assert isinstance(views, Views)
    assert len(views) == 12
    assert len({name.split("/")[0] for name in views.names}) == 2
    with pytest.raises(NotTrainedError, match="the network of colorization is not trained"):
        Transfers(place).measure(("colorization",), ("rgb2depth",))

    tasks = ("colorization", "rgb2depth")
    train_all(place, tasks)
    assert package.table(place).count("\n") == 2
    Transfers(place).measure(tasks, ("rgb2depth", "class_places"))
    losses = {target: found.losses for target, found in Transfers(place).measured().items()}
    assert list(losses) == [t for t in TARGETS if t in ("rgb2depth", "class_places")]
    assert list(losses["rgb2depth"]) == [*tasks, *ROWS]
    again = Transfers(place).measured(again=True)
    assert {target: list(found.losses) for target, found in again.items()} == {"rgb2depth": list(tasks)}
    for rows in losses.values():
        for row in rows.values():
            assert row.shape == (len(place.views("test")),)
            assert np.isfinite(row).all()

    said = package.write(place)
    assert ": 2 encoders, 4 transfers to 2 targets, 6 probe views" in said
    cards = json.loads((place.home / "cards.json").read_text())
    assert [card["task"] for card in cards] == ["colorization", "rgb2depth"]
    table = place.home / "transfers" / "affinities.csv"
    with table.open() as stream:
        rows = list(csv.DictReader(stream))
    sets = [row["training_set"] for row in rows if row["target"] == "rgb2depth"]
    assert list(dict.fromkeys(sets)) == ["all", "again", "half-a", "half-b"]
    for name in sets:
        column = read_transfers(table, training_set=name).values[:, 0]
        assert column.sum() == pytest.approx(1)
    assert {row["source"] for row in rows} == set(tasks)
    probe = open_probe(place.home / "rooms" / "manifest.json")
    assert len(probe) == 3 * 2
    assert {image.photograph for image in probe.images} == {room_of(image.id) for image in probe.images}
    assert len({image.photograph for image in probe.images}) == 3
    with np.load(place.home / "transfers" / "rgb2depth-11.npz") as kept:
        assert kept["rows"].tolist() == [*tasks, *ROWS]
        np.testing.assert_array_equal(kept["losses"][0], losses["rgb2depth"]["colorization"])
        assert kept["views"].tolist() == list(place.views("test").names)
    elsewhere = Transfers(replace(place, root=place.root / "elsewhere"))  # what is finished goes along
    elsewhere.measure(tasks, ("rgb2depth", "class_places"))
    assert not [*elsewhere.place.folder.glob("transfers/*/*.npz")]
    np.testing.assert_equal({t: found.losses for t, found in elsewhere.measured().items()}, losses)


def test_shipped_weights_give_the_codes_of_the_trained_encoder(place):
    train_all(place, ("rgb2depth",))
    trained = build_encoder(seed=0)
    state = torch.load(place.folder / "runs" / "rgb2depth" / "state.pt", weights_only=True)
    trained.load_state_dict(state["best"]["encoder"])
    shipped = load(place.weights("rgb2depth"))
    missing = build_encoder(seed=0).load_state_dict(shipped, strict=False)
    assert all(name.endswith("num_batches_tracked") for name in missing.missing_keys)
    assert not missing.unexpected_keys
    networks = (trained, place.encoder("rgb2depth"))
    a, b = (codes_of(network, place.views("test"), "plain") for network in networks)
    torch.testing.assert_close(a, b, atol=0.05 * float(a.std()), rtol=0.05)


def test_what_is_finished_is_taken_up_elsewhere_and_never_trained_again(place):
    train_all(place, ("rgb2depth",))
    path = place.home / "trainings" / "rgb2depth.json"
    about = json.loads(path.read_text())["about"]
    assert about["course"]["steps"] == 6
    assert about["data"] == place.views("training").digest
    assert about["goal"]["task"] == "rgb2depth"
    before = path.stat().st_mtime_ns, place.weights("rgb2depth")
    elsewhere = replace(place, root=place.root / "elsewhere")
    train_all(elsewhere, ("rgb2depth",))
    assert (path.stat().st_mtime_ns, place.weights("rgb2depth")) == before
    assert not (elsewhere.folder / "runs" / "rgb2depth").exists()
    longer = replace(elsewhere, course=Course(steps=7, batch=8))
    with pytest.raises(RecipeChangedError, match=r"trainings/rgb2depth\.json was made by recipe"):
        train_all(longer, ("rgb2depth",))


def test_new_buildings_join_a_split_and_only_they_are_labelled(place):
    before = place.views("test")
    write_shard(place.shards, "test-001", 1, 99)
    try:
        said = []
        names = finished(place.shards, "test")
        assert names == ["test-000", "test-001"]
        after = prepare(place.shards, "test", names, recipe="test", say=said.append)
        assert said == ["labels of test-001: 2 views"]
        assert after.names[: len(before)] == before.names
        assert after.digest != before.digest
        np.testing.assert_array_equal(after.labels["edge3d"][: len(before)], before.labels["edge3d"])
        assert place.views("test").digest == before.digest  # settled when the first training began
    finally:
        (place.shards / "test-001.zip").unlink()


def test_what_has_no_class_is_masked(place):
    view = next(iter(store.read_shard(place.shards / "test-000.zip")))
    things = list(view.instances)
    number = int(np.bincount(view.instance.ravel()).argmax())
    things[number - 1] = {"item": "x", "kind": "x", "cls": "toy"}
    label = arrays(replace(view, instances=tuple(things)))["segmentsemantic"]
    assert label.dtype == np.int16
    np.testing.assert_array_equal(label == -1, view.instance[1::2, 1::2] == number)
    assert label.max() < 17
    assert (arrays(view)["segmentsemantic"] >= 0).all()


def test_views_of_another_recipe_are_refused(place):
    with pytest.raises(RecipeChangedError, match="made by recipe test, this code makes other"):
        label_shard(place.shards / "test-000.zip", place.root / "elsewhere", "other")
    with pytest.raises(NothingRenderedError, match="no finished building of the split attic"):
        finished(place.shards, "attic")
    with pytest.raises(SpoiltViewError, match=r"test-009\.zip: is gone"):
        prepare(place.shards, "test", ["test-000", "test-009"], recipe="test")


def test_a_transfer_made_with_other_weights_is_refused(place):
    train_all(place, ("rgb2depth",))
    Transfers(place).measure(("rgb2depth",), ("class_places",))
    path = place.home / "encoders" / "rgb2depth.safetensors"
    kept = path.read_bytes()
    state = load_file(path)
    try:
        path.write_bytes(save({name: value + 1 for name, value in state.items()}))
        made = r"rgb2depth -> class_places in .*class_places-11 was made by recipe"
        with pytest.raises(RecipeChangedError, match=made):
            Transfers(place).measure(("rgb2depth",), ("class_places",))
        with pytest.raises(RecipeChangedError, match=r"rgb2depth in .*-11\.npz was made by recipe"):
            package.write(place)
    finally:
        path.write_bytes(kept)
