"""Labels of the picture against pictures made by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("skimage", reason="labels need scikit-image")

from minizoo.labels import colour, segments
from minizoo.labels.tasks import BINS
from skimage import color


def halves(left=(0.9, 0.2, 0.2), right=(0.2, 0.3, 0.9), size=64):
    picture = np.empty((size, size, 3))
    picture[:, : size // 2], picture[:, size // 2 :] = left, right
    return picture


def test_a_flat_picture_has_no_edges_and_no_keypoints():
    flat = np.full((64, 64, 3), 0.4)
    assert colour.edges(flat).max() < 1e-9
    assert colour.keypoints(flat).max() < 1e-6


def test_a_step_has_edges_along_it_and_no_keypoints_away_from_it():
    edges = colour.edges(halves((0.1, 0.1, 0.1), (0.9, 0.9, 0.9)))
    assert np.all(edges[4:-4, 31:33] > 0.1)
    assert edges[:, :24].max() < 1e-6
    assert edges[:, 40:].max() < 1e-6


def test_a_blob_is_a_keypoint_at_its_place():
    y, x = np.mgrid[0:64, 0:64]
    blob = np.exp(-((x - 40) ** 2 + (y - 22) ** 2) / (2 * 2.0**2))
    strength = colour.keypoints(np.repeat(blob[..., None], 3, -1))
    row, column = np.unravel_index(strength.argmax(), strength.shape)
    assert abs(row - 22) <= 1
    assert abs(column - 40) <= 1


def test_the_frame_is_no_keypoint():
    slope = np.repeat(np.linspace(0.2, 0.8, 64)[None].repeat(64, 0)[..., None], 3, -1)
    assert colour.keypoints(slope).max() < 0.02


def test_there_are_259_cells_and_each_colour_gets_the_nearest():
    assert colour.bins().shape == (BINS, 2)
    rng = np.random.default_rng(0)
    picture = rng.random((16, 16, 3))
    ab = color.rgb2lab(picture)[..., 1:]
    literal = ((ab[..., None, :] - colour.bins()) ** 2).sum(-1).argmin(-1)
    found = colour.color_classes(picture)
    gap = np.linalg.norm(ab - colour.bins()[found], axis=-1) - np.linalg.norm(
        ab - colour.bins()[literal], axis=-1
    )
    assert gap.max() < 1e-6 or (found != literal).mean() < 0.02


@given(st.floats(0, 1))
@settings(max_examples=20, deadline=None)
def test_every_grey_is_the_grey_class(level):
    classes = colour.color_classes(np.full((2, 2, 3), level))
    np.testing.assert_array_equal(colour.bins()[classes], 0)


def test_spoilt_inputs_are_repeatable_and_stay_pictures():
    picture = halves()
    first, again, other = (colour.noisy(picture, name) for name in ("a", "a", "b"))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert 0 <= first.min() <= first.max() <= 1
    middle = np.full((128, 128, 3), 0.5)
    assert (colour.noisy(middle, "x") - middle).var() == pytest.approx(0.01, rel=0.05)
    holed = colour.holed(picture)
    assert np.all(holed[16:48, 16:48] == 0.5)
    holed[16:48, 16:48] = picture[16:48, 16:48]
    np.testing.assert_array_equal(holed, picture)


def test_grey_input_has_no_colour():
    grey = colour.grey(halves())
    assert np.ptp(grey, axis=-1).max() == 0
    assert grey[0, 0, 0] == pytest.approx(color.rgb2lab(halves()[:1, :1])[0, 0, 0] / 100)


def test_two_colours_are_two_segments():
    found = segments.by_colour(halves())
    assert found.min() == 0
    left, right = found[:, :28], found[:, 36:]
    assert not set(np.unique(left)) & set(np.unique(right))
    np.testing.assert_array_equal(found, segments.by_colour(halves()))


def test_two_walls_of_one_colour_are_two_segments_by_shape():
    picture = np.full((64, 64, 3), 0.6)
    normal = np.zeros((64, 64, 3))
    normal[:, :32, 0], normal[:, 32:, 2] = 1, 1
    found = segments.by_shape(picture, normal, np.full((64, 64), 3.0))
    assert not set(np.unique(found[:, :28])) & set(np.unique(found[:, 36:]))
