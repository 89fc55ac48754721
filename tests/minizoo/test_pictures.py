"""Exposure and patterns: pictures are neither black nor burnt, patterns tile and follow their seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minizoo import exposure, patterns


def scene(low=0.05, high=1.0, size=64):
    ramp = np.geomspace(low, high, size)[None, :, None]
    return np.broadcast_to(ramp, (size, size, 3)).astype(np.float32)


@given(st.floats(-6, 6))
@settings(max_examples=25, deadline=None)
def test_exposure_does_not_depend_on_how_bright_the_lamps_are(stops):
    plain, brighter = (exposure.develop(scene() * 2.0**s, key=0.25, ev=0.0) for s in (0, stops))
    np.testing.assert_allclose(plain, brighter, atol=0.02)


def test_pictures_are_in_range_and_brighter_light_is_brighter():
    picture = exposure.develop(scene(1e-4, 1e3), key=0.25, ev=0.2)
    assert picture.min() >= 0
    assert picture.max() <= 1
    assert np.all(np.diff(picture[0, :, 0]) >= -1e-6)


def test_a_black_thing_does_not_burn_a_white_wall():
    light = np.full((64, 64, 3), 0.8, np.float32)
    light[:20] = 0.001
    assert exposure.fault(exposure.develop(light, key=0.3, ev=0.25)) is None


@pytest.mark.parametrize(
    ("picture", "fault"),
    [
        (np.zeros((8, 8, 3)), "too dark"),
        (np.ones((8, 8, 3)), "blown out"),
        (np.full((8, 8, 3), 0.5), "flat"),
        (np.repeat(np.linspace(0.1, 0.9, 8)[None, :, None].repeat(8, 0), 3, -1), None),
    ],
)
def test_faults_are_named(picture, fault):
    assert exposure.fault(picture) == fault


def test_shrinking_keeps_the_mean_and_srgb_meets_its_two_pieces():
    picture = np.random.default_rng(0).random((8, 8, 3))
    small = exposure.shrink(picture, 2)
    assert small.shape == (4, 4, 3)
    np.testing.assert_allclose(small.mean((0, 1)), picture.mean((0, 1)))
    assert exposure.to_srgb(np.array(0.0031308)) == pytest.approx(0.04045, abs=1e-4)
    assert exposure.to_srgb(np.array(1.0)) == pytest.approx(1.0)


@pytest.mark.parametrize("name", sorted(patterns.PATTERNS))
def test_patterns_follow_their_seed_and_stay_in_range(name):
    colours = [(0.2, 0.4, 0.6), (0.7, 0.3, 0.2), (0.1, 0.1, 0.1), (0.9, 0.8, 0.6)]
    first, again, other = (patterns.draw(name, seed, colours, 96) for seed in ("a", "a", "b"))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == (96, 96, 3)
    assert 0 <= first.min() <= first.max() <= 1
    assert first.std() > 0.01
