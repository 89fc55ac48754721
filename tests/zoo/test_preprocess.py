"""Preprocessing: the resize against torch's antialiased interpolation, the rest against the formula."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modelatlas.errors import InputError
from modelatlas.zoo import Preprocess

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def photo(side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


@given(side=st.integers(1, 90), height=st.integers(1, 60), width=st.integers(2, 60), seed=st.integers(0, 9))
def test_the_resize_averages_areas_and_stretches(side, height, width, seed):
    square = photo(side, seed)
    # not one column wide: torch 2.13 then returns every row alike
    ours = Preprocess(height=height, width=width, range=(0.0, 255.0), **PLAIN).tensor(square)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(square).permute(2, 0, 1)[None].double(),
        size=(height, width),
        mode="bilinear",
        antialias=True,
        align_corners=False,
    )[0]
    assert ours.shape == (3, height, width)
    assert ours.dtype == np.float32
    # Pillow rounds to whole grey values after each of its two passes
    assert np.abs(ours - expected.numpy()).max() <= 1.5


@given(
    low=st.floats(-2, 2),
    high=st.floats(-2, 300),
    mean=st.tuples(*[st.floats(-200, 200)] * 3),
    std=st.tuples(*[st.floats(0.1, 200)] * 3),
)
def test_range_mean_and_std_are_the_formula(low, high, mean, std):
    square = photo(8)
    ours = Preprocess(height=8, width=8, range=(low, high), mean=mean, std=std).tensor(square)
    expected = (low + (high - low) * (square / 255.0) - np.array(mean)) / np.array(std)
    np.testing.assert_allclose(ours, expected.transpose(2, 0, 1), rtol=1e-4, atol=1e-3)


def test_bgr_is_rgb_backwards_and_mean_is_in_the_networks_order():
    square = photo(4)
    rgb = Preprocess(height=4, width=4, range=(0, 255), mean=(1, 2, 3), std=(1, 1, 1)).tensor(square)
    bgr = Preprocess(
        height=4, width=4, range=(0, 255), mean=(3, 2, 1), std=(1, 1, 1), channel_order="BGR"
    ).tensor(square)
    np.testing.assert_array_equal(bgr, rgb[::-1])


def test_luma_is_itu_r_601():
    square = photo(16)
    grey = Preprocess(height=16, width=16, range=(0, 255), mean=(0,), std=(1,), channel_order="L").tensor(
        square
    )
    assert grey.shape == (1, 16, 16)
    np.testing.assert_allclose(grey[0], square @ np.array([0.299, 0.587, 0.114]), atol=1.0)


def test_the_square_is_left_as_it_was():
    square = photo(30)
    before = square.copy()
    Preprocess().tensor(square)
    np.testing.assert_array_equal(square, before)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"channel_order": "RGBA"}, "must be one of"),
        ({"height": 0}, "no area"),
        ({"mean": (0.0,)}, "must have 3 numbers for RGB, not 1 and 3"),
        ({"std": (1.0, 0.0, 1.0)}, "above 0"),
    ],
)
def test_what_no_network_takes_is_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        Preprocess(**wrong)
