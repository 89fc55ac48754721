import time

import numpy as np
import pytest
import torch
from minizoo.dataset import batches, open_views, order, write_views
from minizoo.errors import RecipeChangedError, SpoiltViewError
from minizoo.losses import BY_NAME, Goal
from minizoo.training import Course, Stopped, best_constant, judge, train

from flat_world import flat_world

TRAINING, VALIDATION = flat_world(96, seed=1), flat_world(24, seed=2)
SHORT = Course(steps=8, batch=16, warmup=0.25)


pytestmark = pytest.mark.usefixtures("one_thread")


def goal_of(name):
    return Goal.fit(BY_NAME[name], TRAINING.label(BY_NAME[name]))


def test_a_stopped_training_ends_with_the_bytes_of_one_left_alone(tmp_path):
    goal = goal_of("class_places")  # its decoder has dropout
    whole = train(goal, TRAINING, VALIDATION, tmp_path / "whole", course=SHORT)
    with pytest.raises(Stopped, match="stopped at step 6 of 8"):
        train(goal, TRAINING, VALIDATION, tmp_path / "parts", course=SHORT, deadline=time.monotonic())
    parts = train(goal, TRAINING, VALIDATION, tmp_path / "parts", course=SHORT)
    for name in ("encoder", "decoder"):
        a, b = (getattr(trained, name).state_dict() for trained in (whole, parts))
        assert all(torch.equal(a[key], b[key]) for key in a)
    assert [entry["step"] for entry in whole.history] == [6, 8]


def test_a_draft_left_by_a_killed_process_is_not_read(tmp_path):
    goal = goal_of("rgb2depth")
    (tmp_path / ".state.pt.1.tmp").write_bytes(b"half")
    trained = train(goal, TRAINING, VALIDATION, tmp_path, course=SHORT)
    assert trained.history[-1]["step"] == SHORT.steps


def test_a_finished_training_is_read_and_not_repeated(tmp_path):
    goal = goal_of("rgb2depth")
    first = train(goal, TRAINING, VALIDATION, tmp_path, course=SHORT)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    second = train(goal, TRAINING, VALIDATION, tmp_path, course=SHORT)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == written
    assert second.history == first.history
    np.testing.assert_array_equal(
        judge(first.encoder, first.decoder, goal, VALIDATION),
        judge(second.encoder, second.decoder, goal, VALIDATION),
    )


def test_another_course_in_the_same_folder_is_refused(tmp_path):
    goal = goal_of("rgb2depth")
    train(goal, TRAINING, VALIDATION, tmp_path, course=SHORT)
    with pytest.raises(RecipeChangedError, match=r"state\.pt was made by recipe"):
        train(goal, TRAINING, VALIDATION, tmp_path, course=Course(steps=9, batch=16))


def test_one_view_is_too_few(tmp_path):
    with pytest.raises(SpoiltViewError, match="1 views to train on; BatchNorm needs two"):
        train(goal_of("rgb2depth"), TRAINING.take([0]), VALIDATION, tmp_path, course=SHORT)


def test_the_best_epoch_is_kept(tmp_path):
    goal = goal_of("rgb2depth")
    course = Course(
        steps=12, batch=16, rate=0.05, warmup=0.9
    )  # a rate that rises until it spoils what was learned
    trained = train(goal, TRAINING, VALIDATION, tmp_path, course=course)
    scores = [entry["validation"] for entry in trained.history]
    kept = float(judge(trained.encoder, trained.decoder, goal, VALIDATION).mean())
    assert kept == pytest.approx(min(scores), rel=1e-6)


@pytest.mark.parametrize(("name", "steps"), [("rgb2depth", 24), ("segmentsemantic", 24), ("edge3d", 80)])
def test_training_beats_the_best_constant(tmp_path, name, steps):
    goal = goal_of(name)
    trained = train(goal, TRAINING, VALIDATION, tmp_path, course=Course(steps=steps, batch=16))
    learned = judge(trained.encoder, trained.decoder, goal, VALIDATION).mean()
    assert learned < 0.85 * best_constant(goal, TRAINING, VALIDATION, steps=40).mean()


def test_all_tasks_start_from_the_same_encoder_and_see_the_same_order(tmp_path):
    course = Course(steps=1, batch=16, rate=1e-12)
    states = {}
    for name in ("rgb2depth", "class_places"):
        trained = train(goal_of(name), TRAINING, VALIDATION, tmp_path / name, course=course)
        states[name] = trained.encoder.state_dict()
    for key, value in states["rgb2depth"].items():
        torch.testing.assert_close(value, states["class_places"][key], atol=1e-6, rtol=0)
    assert np.array_equal(order(50, seed=3, epoch=2), order(50, seed=3, epoch=2))
    assert sorted(order(50, seed=3, epoch=2)) == list(range(50))


@pytest.mark.parametrize(
    ("name", "closed_form"),
    [
        ("rgb2depth", "median"),
        ("room_layout", "mean"),
        ("class_places", "shares"),
        ("segmentsemantic", "shares"),
    ],
)
def test_best_constant_is_the_one_of_the_textbook(name, closed_form):
    """Median for absolute errors, mean for squares, the classes' shares for cross-entropy."""
    goal = goal_of(name)
    target = torch.cat([b.target for b in batches(TRAINING, goal, np.arange(len(TRAINING)), size=96)])
    if closed_form == "shares":
        weight = torch.tensor(goal.weights) if goal.task.side else torch.ones(goal.outputs)
        shares = torch.bincount(target.flatten(), minlength=goal.outputs) * weight
        shares = (
            0.9 * shares / shares.sum() + 0.1 / goal.outputs if not goal.task.side else shares / shares.sum()
        )
        answer = shares.clamp(min=1e-9).log().view(1, -1, *[1] * (2 * bool(goal.task.side)))
    else:
        answer = target.median() if closed_form == "median" else target.mean(0)
        answer = answer.view(1, -1, *[1] * (2 * bool(goal.task.side)))
    side = goal.task.side
    expected = goal.losses(answer.expand(96, goal.outputs, *[side] * (2 * bool(side))), target).mean()
    found = best_constant(goal, TRAINING, TRAINING, steps=120).mean()
    assert found < expected * 1.02
    if not side:
        assert found == pytest.approx(expected.item(), rel=0.02)


def test_batches_mirror_picture_and_target_together():
    goal = goal_of("rgb2sfnorm")
    rows = np.arange(32)
    plain = next(iter(batches(TRAINING, goal, rows, size=32)))
    mixed = next(iter(batches(TRAINING, goal, rows, size=32, flips=np.random.default_rng(0))))
    same = (plain.pictures == mixed.pictures).flatten(1).all(1)
    assert 5 < same.sum() < 27
    torch.testing.assert_close(mixed.pictures[~same], plain.pictures[~same].flip(-1))
    first, third = (  # x and z of the normals; y is constant here
        [batch.target[~same][:, k] * goal.scale[k] + goal.mean[k] for batch in (plain, mixed)] for k in (0, 2)
    )
    torch.testing.assert_close(first[1], -first[0].flip(-1), atol=1e-2, rtol=0)
    torch.testing.assert_close(third[1], third[0].flip(-1), atol=1e-2, rtol=0)


def test_views_survive_the_disk_and_a_spoilt_folder_is_named(tmp_path):
    write_views(
        tmp_path / "train",
        names=VALIDATION.names,
        pictures=VALIDATION.pictures,
        labels=VALIDATION.labels,
        digest="abc",
    )
    views = open_views(tmp_path / "train")
    assert (views.names, views.digest) == (VALIDATION.names, "abc")
    for name, values in VALIDATION.labels.items():
        np.testing.assert_array_equal(views.labels[name], values)
    np.save(tmp_path / "train" / "edge2d.npy", VALIDATION.labels["edge2d"][:-1])
    with pytest.raises(SpoiltViewError, match=r"edge2d\.npy: 23 rows for 24 views"):
        open_views(tmp_path / "train")
    (tmp_path / "train" / "edge2d.npy").unlink()
    with pytest.raises(SpoiltViewError, match="not a complete split"):
        open_views(tmp_path / "train")
