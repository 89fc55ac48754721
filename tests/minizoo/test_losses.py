import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from minizoo.labels.pose import layout, vanishing
from minizoo.labels.tasks import NAMES
from minizoo.losses import BY_NAME, GROUPS, TARGETS, TASKS, Goal, mirror, see
from minizoo.networks import LUMA

from flat_world import flat_world

WORLD = flat_world(24, seed=3)
ALL = [task.name for task in TASKS]


def fitted(name):
    task = BY_NAME[name]
    return Goal.fit(task, WORLD.label(task))


def wanted(goal):
    pictures = torch.from_numpy(WORLD.pictures.copy()).permute(0, 3, 1, 2) / 127.5 - 1
    label = WORLD.label(goal.task)
    return goal.target(pictures, None if label is None else torch.from_numpy(label))


def answer_like(goal, seed=0):
    side = goal.task.side
    shape = (len(WORLD), goal.outputs, side, side) if side else (len(WORLD), goal.outputs)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_tasks_are_the_twenty_of_the_labels():
    assert sorted(ALL) == sorted(NAMES)
    assert {task.group for task in TASKS} == set(GROUPS)
    assert set(ALL) - set(TARGETS) == {"colorization", "inpainting_whole"}


@pytest.mark.parametrize("name", ALL)
def test_loss_is_per_image_finite_and_differentiable(name):
    goal = fitted(name)
    answer = answer_like(goal).requires_grad_()
    losses = goal.losses(answer, wanted(goal))
    assert losses.shape == (len(WORLD),)
    assert losses.dtype == torch.float32
    losses.sum().backward()
    assert torch.isfinite(losses).all()
    assert torch.isfinite(answer.grad).all()


@pytest.mark.parametrize("name", ALL)
def test_loss_of_an_image_depends_on_that_image_alone(name):
    goal = fitted(name)
    answer, target = answer_like(goal), wanted(goal)
    whole = goal.losses(answer, target)
    torch.testing.assert_close(goal.losses(answer[3:5], target[3:5]), whole[3:5])


@pytest.mark.parametrize("name", [task.name for task in TASKS if task.judge in ("l1", "l2")])
def test_the_target_itself_has_no_loss_and_is_standardised(name):
    goal = fitted(name)
    target = wanted(goal)
    assert goal.losses(target, target).abs().max() == 0
    if goal.task.target and not goal.task.sparse:
        dims = (0, 2, 3) if goal.task.side else (0,)
        spread = target.std(dims, correction=0)
        moving = spread > 0
        torch.testing.assert_close(target.mean(dims), torch.zeros_like(spread), atol=2e-3, rtol=0)
        torch.testing.assert_close(spread[moving], torch.ones_like(spread[moving]), atol=2e-3, rtol=0)


def test_masked_pixels_do_not_count():
    goal = fitted("rgb2depth")
    target, answer = wanted(goal), answer_like(goal)
    target[:, :, :32] = math.nan
    expected = (answer - target)[:, :, 32:].abs().mean((1, 2, 3))
    torch.testing.assert_close(goal.losses(answer, target), expected)
    target[:] = math.nan
    assert goal.losses(answer, target).abs().max() == 0


def test_sparse_target_is_weighed_by_its_size():
    """By hand: y = 0 twice and 4 once, so mean |y| is 4/3 and the weights are 1, 1 and 1 + 2 * 3 = 7."""
    label = np.zeros((1, 1, 1, 3), np.float32)
    label[..., 2] = 4
    goal = Goal.fit(BY_NAME["edge3d"], label)
    scale = goal.scale[0]
    target = goal.target(torch.empty(0), torch.from_numpy(label))
    loss = goal.losses(torch.full((1, 1, 1, 3), 1 / scale), target)
    assert loss.item() == pytest.approx((1 + 1 + 7 * 3) / 3 / scale, rel=1e-5)


def test_classes_agree_with_weighted_cross_entropy_by_hand():
    goal = Goal(BY_NAME["segmentsemantic"], 2, weights=(1.0, 3.0), merged=(0, 1))
    logits = torch.tensor([[[[0.0, 2.0]], [[0.0, 0.0]]]])
    loss = goal.losses(logits, torch.tensor([[[1, 0]]]))
    assert loss.item() == pytest.approx((3 * math.log(2) + math.log(1 + math.exp(-2))) / 2, rel=1e-5)


@pytest.mark.parametrize("name", ["class_1000", "class_places"])
def test_a_perfect_distribution_has_no_loss(name):
    goal = fitted(name)
    target = wanted(goal)
    if name == "class_places":
        shares = torch.nn.functional.one_hot(target, goal.outputs) * 0.9 + 0.1 / goal.outputs
    else:
        shares = target
    losses = goal.losses(shares.clamp(min=1e-9).log() + 5, target)
    torch.testing.assert_close(losses, torch.zeros(len(WORLD)), atol=1e-5, rtol=0)
    assert (goal.losses(answer_like(goal), target) > 0).all()


def test_masked_classes_do_not_count():
    goal = Goal(BY_NAME["segmentsemantic"], 2, weights=(1.0, 3.0), merged=(0, 1))
    label = torch.tensor([[[1, -1]]], dtype=torch.int16)
    target = goal.target(torch.empty(0), label)
    assert target.tolist() == [[[1, -1]]]
    assert goal.losses(torch.zeros(1, 2, 1, 2), target).item() == pytest.approx(3 * math.log(2))


def test_a_class_that_the_task_does_not_know_is_refused():
    label = np.full((1, 64, 64), 255, np.int16)
    with pytest.raises(ValueError, match="class 255 in a label of 17 classes"):
        Goal.fit(BY_NAME["segmentsemantic"], label)


def test_rare_colours_count_as_the_nearest_common_one():
    label = np.zeros((1, 1, 4000), np.int16)
    label[..., :1500] = 2
    label[..., 0] = 1
    goal = Goal.fit(BY_NAME["colorization"], label, centres=np.array([[0.0], [8.0], [10.0]]))
    assert goal.merged[:3] == (0, 1, 1)
    assert goal.outputs == 2


def test_pairs_by_hand():
    """Two segments a distance d apart: 0 inside, -log tanh(d^2 / 2) between them, each kind half."""
    goal = Goal(BY_NAME["segment2d"], 16)
    segments = torch.zeros(1, 64, 64, dtype=torch.long)
    segments[:, :, 32:] = 1
    answer = torch.zeros(1, 16, 64, 64)
    answer[:, 0, :, 32:] = 1.5
    expected = -math.log(math.tanh(1.5**2 / 2) + 1e-3) / 2
    assert goal.losses(answer, segments).item() == pytest.approx(expected, rel=1e-3)
    assert goal.losses(answer.flip(1), segments).item() == pytest.approx(expected, rel=1e-3)


def test_pairs_prefer_the_true_segments():
    goal = fitted("segment2d")
    target = wanted(goal)
    true = torch.nn.functional.one_hot(target, 16).permute(0, 3, 1, 2) * 3.0
    assert (goal.losses(true, target) < 0.1 * goal.losses(true.roll(13, 2), target)).all()


@pytest.mark.parametrize("name", [task.name for task in TASKS if task.target])
def test_mirroring_twice_changes_nothing_and_only_whom_it_should(name):
    task = BY_NAME[name]
    label = torch.from_numpy(WORLD.label(task))
    which = torch.arange(len(WORLD)) % 2 == 0
    once = mirror(task, label, which)
    assert torch.equal(mirror(task, once, which), label)
    assert torch.equal(once[~which], label[~which])


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    x=st.floats(0.3, 3.7), y=st.floats(0.3, 2.7), z=st.floats(1, 1.8), pitch=st.floats(-0.5, 0.3),
    turn=st.floats(-0.7, 0.7), quarter=st.integers(0, 3),
)  # fmt: skip
def test_mirrored_vectors_are_those_of_the_mirrored_room(x, y, z, pitch, turn, quarter):
    """The label code itself, given a room mirrored in x and a camera mirrored with it."""
    size = (4.0, 3.0, 2.6)
    yaw = quarter * math.pi / 2 + turn
    rotation = camera(yaw, pitch)
    mirrored = np.diag([-1.0, 1, 1]) @ rotation @ np.diag([-1.0, 1, 1])
    np.testing.assert_allclose(mirrored, camera(math.pi - yaw, pitch), atol=1e-12)
    pairs = {
        "vanishing_point": (vanishing(rotation, yaw), vanishing(mirrored, math.pi - yaw)),
        "room_layout": (
            layout(size, np.array([x, y, z]), rotation, yaw),
            layout(size, np.array([size[0] - x, y, z]), mirrored, math.pi - yaw),
        ),
    }
    for name, (label, expected) in pairs.items():
        got = mirror(BY_NAME[name], torch.from_numpy(label)[None], torch.tensor([True]))[0]
        np.testing.assert_allclose(got, expected, atol=1e-9)


def camera(yaw, pitch):
    ahead = np.array([math.cos(yaw) * math.cos(pitch), math.sin(yaw) * math.cos(pitch), math.sin(pitch)])
    right = np.array([math.sin(yaw), -math.cos(yaw), 0])
    return np.stack([right, np.cross(right, ahead), -ahead], 1)


def test_mirrored_normals_turn_their_x():
    label = torch.zeros(1, 3, 2, 2)
    label[0, :, 0, 0] = torch.tensor([0.6, 0.0, 0.8])
    got = mirror(BY_NAME["rgb2sfnorm"], label, torch.tensor([True]))
    torch.testing.assert_close(got[0, :, 0, 1], torch.tensor([-0.6, 0.0, 0.8]))


def test_hints_are_a_few_small_squares_of_colour_on_a_grey_picture():
    picture = torch.rand(400, 3, 128, 128, generator=torch.Generator().manual_seed(1)) * 2 - 1
    hinted = see(picture, "hinted", generator=torch.Generator().manual_seed(3))
    coloured = (hinted[:, 0] != hinted[:, 1]) | (hinted[:, 1] != hinted[:, 2])
    rows = coloured[:, None].expand_as(picture)
    assert torch.equal(hinted[rows], picture[rows])
    luma = (picture * picture.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True).expand_as(picture)
    torch.testing.assert_close(hinted[~rows], luma[~rows])
    none = (~coloured.flatten(1).any(1)).float().mean().item()
    assert none == pytest.approx(1 / 8, abs=0.05)  # a geometric number of them
    # 7 squares of a mean area of (16 + 25 + ... + 400) / 17 pixels, less where they overlap
    assert coloured.float().mean().item() == pytest.approx(7 * 168 / 128**2, rel=0.15)
    again = see(picture, "hinted", generator=torch.Generator().manual_seed(3))
    assert torch.equal(hinted, again)


def test_a_grey_picture_keeps_its_brightness_when_hinted():
    white = see(torch.ones(1, 3, 16, 16), "hinted")
    torch.testing.assert_close(white, torch.ones(1, 3, 16, 16))


def test_what_encoders_are_shown():
    picture = torch.rand(6, 3, 128, 128, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert see(picture, "plain") is picture
    noise = see(picture * 0.2, "noisy", generator=torch.Generator().manual_seed(2)) - picture * 0.2
    assert noise.std().item() == pytest.approx(0.2, rel=0.02)
    holed = see(picture, "hole")
    assert (holed[..., 32:96, 32:96] == 0).all()
    assert torch.equal(holed[..., :32, :], picture[..., :32, :])
