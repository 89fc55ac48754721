import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from modelatlas.evaluation import interval, paired_difference
from modelatlas.evaluation.resampling import bootstrap_means


@given(st.integers(2, 12), st.integers(0, 1000))
def test_means_are_those_of_drawn_targets(targets, seed):
    values = np.random.default_rng(seed).normal(size=(targets, 2))
    values[0, 1] = np.nan
    got = bootstrap_means(values, draws=50, seed=seed)
    counts = np.random.default_rng(seed).multinomial(targets, np.full(targets, 1 / targets), size=50)
    for row, count in zip(got, counts, strict=True):
        drawn = np.repeat(values, count, axis=0)
        assert row[0] == pytest.approx(drawn[:, 0].mean())
        known = drawn[~np.isnan(drawn[:, 1]), 1]
        assert row[1] == pytest.approx(known.mean()) if len(known) else np.isnan(row[1])


def test_interval_is_close_to_scipys():
    values = np.random.default_rng(0).normal(size=(40, 1)) + 1
    low, high = interval(values, draws=5000)
    want = stats.bootstrap(
        (values[:, 0],), np.mean, n_resamples=5000, method="percentile", rng=1
    ).confidence_interval
    assert low[0] == pytest.approx(want.low, abs=0.03)
    assert high[0] == pytest.approx(want.high, abs=0.03)


def test_a_quantity_that_is_never_defined_has_no_interval():
    low, high = interval(np.array([[1.0, np.nan], [2.0, np.nan], [3.0, np.nan]]), draws=100)
    assert 1 <= low[0] <= high[0] <= 3
    assert np.isnan(low[1])
    assert np.isnan(high[1])


def test_pairing_sees_what_two_intervals_hide():
    rng = np.random.default_rng(1)
    hard = rng.normal(size=30)  # targets differ far more than the predictions
    ours, theirs = hard + 0.1 + 0.05 * rng.normal(size=30), hard + 0.05 * rng.normal(size=30)
    got = paired_difference(ours, theirs)
    assert got.mean == pytest.approx((ours - theirs).mean())
    assert 0 < got.low < got.mean < got.high
    assert got.p < 0.01
    (low,), (high,) = interval(ours[:, None])
    assert low < theirs.mean() < high


def test_equal_predictions_do_not_differ():
    got = paired_difference(np.arange(5.0), np.arange(5.0))
    assert (got.mean, got.low, got.high, got.p) == (0, 0, 0, 1)


def test_the_test_is_level():
    rng = np.random.default_rng(2)
    rejected = np.mean([paired_difference(*rng.normal(size=(2, 25)), draws=400).p < 0.05 for _ in range(300)])
    assert rejected < 0.12  # nominal .05; the percentile bootstrap of 25 values is known to be somewhat eager


def test_undefined_everywhere():
    got = paired_difference(np.full(3, np.nan), np.zeros(3))
    assert np.isnan(got.mean)
    assert np.isnan(got.p)
