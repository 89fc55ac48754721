"""Vanishing points and the room's box against a projected room, and labels that say what is there."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("skimage", reason="labels need scikit-image")

from minizoo.kinds import CLASSES, KINDS, PLACES, SEMANTIC
from minizoo.labels import meaning, pose
from tests.minizoo.solids import looking

yaws = st.floats(-math.pi, math.pi)
pitches = st.floats(-0.5, 0.3)


@given(yaws, pitches)
@settings(max_examples=40, deadline=None)
def test_vanishing_directions_are_an_upright_frame_and_the_first_is_ahead(yaw, pitch):
    axes = pose.vanishing(looking(yaw, pitch), yaw).reshape(3, 3)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1)
    ahead = -axes[:, 2]
    assert ahead[0] >= math.cos(pitch) / math.sqrt(2) - 1e-9  # within 45 degrees of the view
    assert axes[2, 1] > 0  # up is up


@given(yaws, pitches)
@settings(max_examples=40, deadline=None)
def test_parallel_lines_meet_at_the_vanishing_point(yaw, pitch):
    rotation = looking(yaw, pitch)
    first = pose.vanishing(rotation, yaw)[:3]
    turn = pose.quarter(yaw) * math.pi / 2
    along = np.array([math.cos(turn), math.sin(turn), 0])
    for start in ((0.3, 1.0, -0.5), (-1.0, 0.4, 0.9)):
        far = (np.array(start) + 1e7 * along) @ rotation
        np.testing.assert_allclose(far[:2] / -far[2], first[:2] / -first[2], atol=1e-5)


@given(yaws, pitches)
@settings(max_examples=40, deadline=None)
def test_the_box_gives_back_the_rooms_corners(yaw, pitch):
    size, location, rotation = (4.0, 5.5, 2.6), np.array([1.0, 2.0, 1.5]), looking(yaw, pitch)
    box = pose.layout(size, location, rotation, yaw)
    assert box[4] == pytest.approx(pitch)
    assert abs(box[3]) <= math.pi / 4 + 1e-9
    assert box[5] == 0
    axes = pose.vanishing(rotation, yaw).reshape(3, 3)
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    rebuilt = box[:3] + (signs * box[6:] / 2) @ axes
    corners = np.array([[x, y, z] for x in (0, size[0]) for y in (0, size[1]) for z in (0, size[2])])
    wanted = (corners - location) @ rotation
    distance = np.linalg.norm(rebuilt[:, None] - wanted[None], axis=-1)
    np.testing.assert_allclose(distance.min(1), 0, atol=1e-9)


@given(yaws)
@settings(max_examples=20, deadline=None)
def test_a_room_built_a_quarter_turn_round_has_the_same_labels(yaw):
    size, location = (4.0, 5.5, 2.6), np.array([1.0, 2.0, 1.5])
    turned, there = (5.5, 4.0, 2.6), np.array([5.5 - 2.0, 1.0, 1.5])
    more = yaw + math.pi / 2
    near = (pose.vanishing(looking(yaw), yaw), pose.layout(size, location, looking(yaw), yaw))
    far = (pose.vanishing(looking(more), more), pose.layout(turned, there, looking(more), more))
    if abs(abs(near[1][3]) - math.pi / 4) > 1e-6:  # on the diagonal either wall may be the nearest
        np.testing.assert_allclose(near[0], far[0], atol=1e-9)
        np.testing.assert_allclose(near[1], far[1], atol=1e-9)


def entry(kind, cls):
    return {"item": kind, "kind": kind, "cls": cls}


def test_classes_follow_instances_and_the_rest_is_void():
    instances = [entry("wall", "wall"), entry("bed", "bed"), entry("toy", "toy")]
    found = meaning.semantic(np.array([[0, 1], [2, 3]], np.uint8), instances)
    np.testing.assert_array_equal(found, [[255, SEMANTIC.index("wall")], [SEMANTIC.index("bed"), 255]])


def test_object_shares_are_roots_of_areas():
    instances = [entry("wall", "wall"), entry("bed", "bed"), entry("sofa", "sofa"), entry("toy", "toy")]
    instance = np.ones((100, 100), np.uint8)
    instance[:40, :40], instance[:10, 50:90], instance[99, 99] = 2, 3, 4
    shares = meaning.object_shares(instance, instances)
    assert shares.sum() == pytest.approx(1)
    assert shares[meaning.OBJECTS.index("bed")] == pytest.approx(40 / (40 + 20))
    assert shares[meaning.OBJECTS.index("toy")] == 0
    assert meaning.object_shares(np.ones((9, 9), np.uint8), instances).sum() == 0


def test_tables_are_consistent():
    assert len(SEMANTIC) == 17
    assert set(SEMANTIC) < set(CLASSES)
    assert {kind.cls for kind in KINDS} <= set(CLASSES)
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert [meaning.place_index(place) for place in PLACES] == list(range(10))
