"""Resizing and transposed convolutions as TensorFlow does them, and contextual attention literally."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelatlas.zoo.architectures.aligned import aligned_indices, resize_nearest_aligned
from modelatlas.zoo.architectures.contextual_attention import ContextualAttention
from modelatlas.zoo.architectures.same import SameConv2d
from modelatlas.zoo.architectures.same_transposed import SameConvTranspose2d


def test_the_indices_that_tensorflow_takes():
    """Measured with TensorFlow 2.15: from 64 to 32, and doubled."""
    assert aligned_indices(64, 32)[:2] + aligned_indices(64, 32)[15:18] == [0, 2, 30, 33, 35]
    assert aligned_indices(64, 32)[-1] == 63
    assert aligned_indices(5, 1) == [0]
    assert aligned_indices(4, 8) == [0, 0, 1, 1, 2, 2, 3, 3]


@given(size_in=st.integers(1, 300), size_out=st.integers(2, 300))
def test_ends_meet_and_order_is_kept(size_in, size_out):
    indices = aligned_indices(size_in, size_out)
    assert (indices[0], indices[-1], len(indices)) == (0, size_in - 1, size_out)
    assert indices == sorted(indices)


def test_resizing_picks_rows_and_columns():
    x = torch.arange(24.0).reshape(1, 1, 4, 6)
    picked = resize_nearest_aligned(x, 2, 3)
    assert picked.tolist() == [[[[0, 3, 5], [18, 21, 23]]]]


@settings(max_examples=40)
@given(
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    stride=st.integers(1, 3),
    wider=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_a_transposed_convolution_is_the_gradient_of_the_same_one(height, width, stride, wider, seed):
    """As `tf.nn.conv2d_transpose` defines it."""
    torch.manual_seed(seed)
    up = SameConvTranspose2d(3, 2, stride + wider, stride=stride, bias=False).double()
    down = SameConv2d(2, 3, stride + wider, stride=stride, bias=False).double()
    down.weight.data = up.weight.data.clone()
    x = torch.randn(1, 3, height, width, dtype=torch.float64)
    whole = torch.zeros(1, 2, stride * height, stride * width, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(down(whole), whole, grad_outputs=x)
    assert torch.allclose(up(x), expected, atol=1e-12)


def literal_attention(features, mask):
    """The authors' code in loops: [H, W, C] and [H, W] -> [H, W, C]."""
    height, width = features.shape[0] // 2, features.shape[1] // 2
    rows, columns = aligned_indices(2 * height, height), aligned_indices(2 * width, width)
    small = np.pad(features[np.ix_(rows, columns)], ((1, 1), (1, 1), (0, 0)))
    covered = np.pad(mask[np.ix_(rows, columns)], 1)
    places = [(row, column) for row in range(height) for column in range(width)]
    patch = {at: small[at[0] : at[0] + 3, at[1] : at[1] + 3].ravel() for at in places}
    known = {at: float(covered[at[0] : at[0] + 3, at[1] : at[1] + 3].mean() == 0) for at in places}
    unit = {at: patch[at] / max(np.linalg.norm(patch[at]), 1e-4) for at in places}
    score = np.array([[patch[i] @ unit[j] for j in places] for i in places])

    def diagonal(score):
        out = score.copy()
        out[1:, 1:] += score[:-1, :-1]
        out[:-1, :-1] += score[1:, 1:]
        return out

    order = [places.index((row, column)) for column in range(width) for row in range(height)]
    score = diagonal(score)
    swapped = diagonal(score[np.ix_(order, order)])
    score[np.ix_(order, order)] = swapped
    out = np.zeros((2 * height + 2, 2 * width + 2, features.shape[2]))
    whole = np.pad(features, ((1, 1), (1, 1), (0, 0)))
    keep = np.array([known[at] for at in places])
    for number, (row, column) in enumerate(places):
        logits = 10 * score[number] * keep
        weights = np.exp(logits - logits.max())
        weights = weights / weights.sum() * keep
        for weight, (top, left) in zip(weights, places, strict=True):
            out[2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += (
                weight * whole[2 * top : 2 * top + 4, 2 * left : 2 * left + 4]
            )
    return out[1:-1, 1:-1] / 4


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_contextual_attention_against_loops(share):
    generator = np.random.default_rng(3)
    features = generator.normal(size=(8, 12, 3)) * 0.3
    mask = np.zeros((8, 12))
    mask[2 : 2 + round(4 * share), 3 : 3 + round(6 * share)] = 1
    ours = ContextualAttention()(
        torch.from_numpy(features.transpose(2, 0, 1)[None].copy()), torch.from_numpy(mask)[None, None]
    )
    expected = literal_attention(features, mask)
    np.testing.assert_allclose(ours[0].permute(1, 2, 0).numpy(), expected, atol=1e-12)
