"""Views into a panorama, against a literal ray tracer and against what the views must show."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelatlas.probe.panorama import flat_view


def literal(panorama, yaw, pitch, field_of_view, side):
    """One ray after the other: a pinhole, turned about the right, then about the up axis; in floats."""
    height, width = panorama.shape[:2]
    view = np.zeros((side, side, 3))
    reach = math.tan(math.radians(field_of_view) / 2)
    a, b = math.radians(yaw), math.radians(pitch)
    for row in range(side):
        for column in range(side):
            right = (2 * (column + 0.5) / side - 1) * reach
            up = -(2 * (row + 0.5) / side - 1) * reach
            ahead = 1.0
            up, ahead = up * math.cos(b) + ahead * math.sin(b), ahead * math.cos(b) - up * math.sin(b)
            right, ahead = (
                right * math.cos(a) + ahead * math.sin(a),
                ahead * math.cos(a) - right * math.sin(a),
            )
            longitude, latitude = math.atan2(right, ahead), math.atan2(up, math.hypot(right, ahead))
            x = (longitude / (2 * math.pi) + 0.5) * width - 0.5
            y = min(max((0.5 - latitude / math.pi) * height - 0.5, 0), height - 1)
            x0, y0 = math.floor(x), math.floor(y)
            for dx, wx in ((0, 1 - (x - x0)), (1, x - x0)):
                for dy, wy in ((0, 1 - (y - y0)), (1, y - y0)):
                    view[row, column] += wx * wy * panorama[min(y0 + dy, height - 1), (x0 + dx) % width]
    return view


@given(
    yaw=st.floats(-720, 720),
    pitch=st.floats(-90, 90),
    field_of_view=st.floats(10, 150),
    seed=st.integers(0, 99),
)
def test_a_view_is_what_the_rays_see(yaw, pitch, field_of_view, seed):
    panorama = np.random.default_rng(seed).integers(0, 256, (16, 32, 3)).astype(np.uint8)
    view = flat_view(panorama, yaw=yaw, pitch=pitch, field_of_view=field_of_view, side=7)
    assert view.dtype == np.uint8
    # Rounding moves a position by at most 1/512 of a pixel along each axis: 255/512 each, a half at the end.
    assert np.abs(view - literal(panorama, yaw, pitch, field_of_view, 7)).max() <= 1.6


def test_turning_by_columns_turns_the_panorama():
    panorama = np.random.default_rng(0).integers(0, 256, (32, 64, 3)).astype(np.uint8)
    turned = flat_view(panorama, yaw=90.0, pitch=5.0, field_of_view=70.0, side=24)
    rolled = flat_view(np.roll(panorama, -16, axis=1), yaw=0.0, pitch=5.0, field_of_view=70.0, side=24)
    np.testing.assert_array_equal(turned, rolled)


@pytest.mark.parametrize(("pitch", "expected"), [(60.0, 0), (-60.0, 255)])
def test_up_is_up(pitch, expected):
    panorama = np.zeros((32, 64, 3), np.uint8)
    panorama[16:] = 255  # dark sky, bright ground
    view = flat_view(panorama, yaw=0.0, pitch=pitch, field_of_view=50.0, side=16)
    assert (view == expected).all()
