"""Labels of the surface against plane, sphere and box."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("skimage", reason="labels need scikit-image")

from minizoo.labels import surface
from tests.minizoo.solids import FOV, SIZE, looking, plane, ray, room, sphere

slants = st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.just(1.0))


def test_rays_agree_with_the_literal_ones_and_point_ahead():
    np.testing.assert_allclose(surface.rays(SIZE, FOV), ray(), atol=1e-12)


@given(slants, st.floats(0.5, 8))
@settings(max_examples=10, deadline=None)
def test_points_of_a_plane_lie_on_it(normal, offset):
    depth, n = plane(normal, offset)
    np.testing.assert_allclose((surface.points(depth, FOV) * n).sum(-1), -offset, rtol=1e-9)


def test_distance_is_depth_at_the_middle_and_longer_towards_the_corners():
    depth, _ = plane((0, 0, 1), 2.0)
    away = surface.distance(depth, FOV)
    assert away.min() == pytest.approx(2.0, rel=1e-4)
    reach = np.tan(np.radians(FOV / 2)) * (1 - 1 / SIZE)
    assert away[0, 0] == pytest.approx(2.0 * np.sqrt(1 + 2 * reach**2))


def test_log_depth_is_taskonomys():
    # log(1 + 512 * 2) / log(65536), by hand
    assert surface.log_depth(np.full((1, 1), 2.0))[0, 0] == pytest.approx(6.932447 / 11.090355, abs=1e-6)
    rising = surface.log_depth(np.linspace(0, 127, 50)[None])
    assert rising[0, 0] == 0
    assert np.all(np.diff(rising) > 0)
    assert rising[0, -1] <= 1.0


@given(slants, st.floats(0.5, 5))
@settings(max_examples=10, deadline=None)
def test_a_plane_has_no_curvature_edges_or_corners(normal, offset):
    depth, n = plane(normal, offset)
    bends, known = surface.curvature(depth, n, np.ones((SIZE, SIZE), np.uint8), FOV)
    assert np.abs(bends).max() < 1e-9
    assert known[1:-1, 1:-1].mean() > 0.5
    edges = surface.occlusion_edges(depth)
    assert edges.max() == 0
    assert surface.corners(n, edges).max() < 1e-9


@pytest.mark.parametrize("radius", [0.3, 0.6, 1.0])
def test_a_sphere_bulges_by_one_over_its_radius(radius):
    depth, normal, instance = sphere((0.1, -0.2, -3.0), radius)
    bends, known = surface.curvature(depth, normal, instance, FOV)
    facing = (normal * -ray()).sum(-1) / np.linalg.norm(ray(), axis=-1) > 0.8
    k = np.expm1(np.abs(bends) * np.log1p(60)) * np.sign(bends)
    middle = k[known & (instance == 2) & facing]
    assert len(middle) > 30
    np.testing.assert_allclose(middle, 1 / radius, rtol=0.12)
    assert np.abs(k[known & (instance == 1)]).max() < 1e-9
    assert not known[0].any()


def test_a_hollow_is_the_negative_of_a_bulge():
    depth, normal, instance = sphere((0, 0, -3.0), 0.8)
    bulge, known = surface.curvature(depth, normal, instance, FOV)
    hollow, _ = surface.curvature(depth, -normal, instance, FOV)
    np.testing.assert_allclose(hollow[known], -bulge[known][:, ::-1], atol=1e-9)


def test_shading_is_one_over_range_straight_ahead_and_zero_from_behind():
    depth, n = plane((0, 0, 1), 4.0)
    shade = surface.reshade(depth, n, FOV)
    assert shade.max() == pytest.approx(0.5, abs=1e-3)  # 1 / (1 + (4/4)^2)
    assert shade[SIZE // 2, SIZE // 2] == shade.max()
    assert surface.reshade(depth, -n, FOV).max() == 0


def test_edges_are_where_the_sphere_ends_and_nowhere_else():
    depth, _, instance = sphere((0, 0, -3.0), 0.8)
    edges = surface.occlusion_edges(depth)
    border = (np.diff(instance.astype(int), axis=0, prepend=1) != 0) | (
        np.diff(instance.astype(int), axis=1, prepend=1) != 0
    )
    assert edges[border].min() > 0.15
    near = np.zeros_like(border)
    for dy in range(-6, 7):
        for dx in range(-6, 7):
            near |= np.roll(border, (dy, dx), (0, 1))
    assert edges[~near].max() < 1e-6


def test_room_edges_are_no_occlusion_and_its_corners_are_corners():
    rotation = looking(0.6, 0.35)
    depth, world, _ = room((4.0, 5.0, 2.6), (1.2, 1.5, 1.4), rotation)
    edges = surface.occlusion_edges(depth)
    assert edges.max() == 0  # walls meet, none ends before another
    corners = surface.corners(surface.normals(world, rotation), edges)
    row, column = np.unravel_index(corners.argmax(), corners.shape)
    corner = (np.array([4.0, 5.0, 2.6]) - (1.2, 1.5, 1.4)) @ rotation
    reach = np.tan(np.radians(FOV / 2))
    assert column == pytest.approx((corner[0] / -corner[2] / reach + 1) / 2 * SIZE - 0.5, abs=3)
    assert row == pytest.approx((1 - corner[1] / -corner[2] / reach) / 2 * SIZE - 0.5, abs=3)


def test_normals_turn_with_the_camera():
    for yaw in (0.0, 0.7, -2.0):
        rotation = looking(yaw, -0.2)
        _, world, _ = room((4.0, 5.0, 2.6), (2.0, 2.0, 1.5), rotation)
        camera = surface.normals(world, rotation)
        np.testing.assert_allclose(np.linalg.norm(camera, axis=-1), 1, atol=1e-12)
        assert ((camera * -ray()).sum(-1) > 0).all()  # every wall of a room faces who is in it
        np.testing.assert_allclose(camera @ rotation.T, world, atol=1e-12)
