"""Keys that say what a network expects; a library's preprocessing measured: both against plain arithmetic."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelatlas.errors import InputError
from modelatlas.zoo import Preprocess
from modelatlas.zoo.input_options import with_input_options
from modelatlas.zoo.measured import measured_preprocess
from modelatlas.zoo.spec import ModelSpec


def asked(options: str, known: Preprocess | None = None) -> Preprocess:
    return with_input_options(known or Preprocess(), ModelSpec.parse(f"onnx:m.onnx?{options}"))


def test_each_key_changes_its_part_alone():
    assert asked("layer=x") == Preprocess()
    assert asked("size=96") == Preprocess(height=96, width=96)
    assert asked("size=48x64") == Preprocess(height=48, width=64)
    assert asked("mean=0.5") == Preprocess(mean=(0.5,) * 3)
    assert asked("mean=1/2/3&std=4/5/6&range=0/255&order=BGR") == Preprocess(
        mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0), range=(0.0, 255.0), channel_order="BGR"
    )
    assert asked("range=-1/1").range == (-1.0, 1.0)


def test_one_channel_takes_one_number():
    assert asked("order=L&mean=0.2") == Preprocess(mean=(0.2,), std=(0.5,), channel_order="L")
    grey = Preprocess(mean=(0.1,), std=(0.2,), channel_order="L")
    assert asked("size=32", grey) == Preprocess(32, 32, mean=(0.1,), std=(0.2,), channel_order="L")
    assert asked("order=RGB", grey).mean == (0.5,) * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("size=big", "size=big is no number of pixels"),
        ("size=0", "size=0 is no number of pixels"),
        ("size=12x", "size=12x is no number of pixels"),
        ("mean=1/2", "mean=1/2 must be 1 or 3 numbers parted by slashes, as in mean=0.485"),
        ("mean=a", "mean=a must be"),
        ("mean=nan", "mean=nan must be"),
        ("std=0", "every std must be above 0"),
        ("range=255", "range=255 must be 2 numbers parted by slashes, as in range=0/255"),
        ("order=GBR", "order=GBR must be one of RGB, BGR, L"),
        ("order=L&mean=1/2/3", "mean=1/2/3 must be 1 numbers"),
    ],
)
def test_what_is_wrong_is_named_with_the_spec(options, message):
    with pytest.raises(InputError, match=message) as caught:
        asked(options)
    assert "onnx:m.onnx?" in str(caught.value)


NUMBER = st.floats(0.01, 2.0)


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    mean=st.tuples(*[st.floats(-1.0, 1.0)] * 3),
    std=st.tuples(NUMBER, NUMBER, NUMBER),
    scale=st.sampled_from([1.0, 255.0, 2.0]),
    order=st.sampled_from(["RGB", "BGR"]),
)
def test_what_is_measured_does_the_same(size, mean, std, scale, order):
    known = Preprocess(
        *size, (0.0, scale), tuple(scale * m for m in mean), tuple(scale * s for s in std), order
    )
    found = measured_preprocess(known.tensor, model="m")
    square = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    expected = known.tensor(square)
    np.testing.assert_allclose(found.tensor(square), expected, atol=3e-4 * np.abs(expected).max())
    assert (found.height, found.width, found.channel_order) == (*size, order)


@pytest.mark.parametrize(
    "transform",
    [
        lambda square: (square.transpose(2, 0, 1) / 255.0) ** 2,  # a gamma
        lambda square: square.transpose(2, 0, 1)[[1, 0, 2]] / 255.0,  # no order of ours
        lambda square: 1 - square.transpose(2, 0, 1) / 255.0,  # a negative
        lambda square: square.mean(axis=2)[None].repeat(3, 0),  # grey
        lambda square: square.transpose(2, 0, 1)[:1] / 255.0,  # one channel
        lambda square: square[None],
    ],
)
def test_what_is_more_than_scale_and_shift_is_refused(transform):
    with pytest.raises(InputError, match="wrap the network in a factory of your own"):
        measured_preprocess(transform, model="m")
