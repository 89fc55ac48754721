"""Affinity by correlation, against `scipy.stats.pearsonr` and what must hold of any such mean."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.stats import pearsonr

from modelatlas.errors import InputError
from modelatlas.space import AffinityAccumulator, affinity
from strategies import unit_map_vectors, unit_maps

SEED = st.integers(0, 2**32 - 1)
SIGNED = st.booleans()


def names(vectors):
    return [f"m{i}" for i in range(len(vectors))]


def half_round(flat):
    square = flat.reshape(int(len(flat) ** 0.5), -1)
    cut = square.shape[1] - square.shape[1] // 2
    return np.hstack([square[:, cut:], square[:, :cut]]).ravel()


def above_chance(a, b):
    """|r| less what it is with either map moved, in units of what is left up to 1."""
    r, *moved = (abs(pearsonr(*two).statistic) for two in ((a, b), (a, half_round(b)), (half_round(a), b)))
    return max((r - np.mean(moved)) / (1 - np.mean(moved)), -1)


def by_scipy(vectors, *, signed):
    count = len(vectors)
    out = np.eye(count)
    for i, j in ((i, j) for i in range(count) for j in range(count) if i != j):
        values = []
        for a, b in zip(vectors[i].astype(float), vectors[j].astype(float), strict=True):
            if a.any() and b.any():
                values.append(above_chance(a, b) if signed else pearsonr(a, b).statistic)
        out[i, j] = np.mean(values)
    return out


@given(v=unit_map_vectors(square=True), signed=SIGNED)
def test_equals_the_mean_of_scipys_correlations(v, signed):
    assume((v.astype(float).var(2) * v.shape[2] > 1e-5)[v.any(2)].all())  # flat maps: a test of their own
    got = affinity(v, models=names(v), similarity="correlation", signed=signed)
    np.testing.assert_allclose(got.values, by_scipy(v, signed=signed), atol=1e-9)


@given(v=unit_map_vectors(square=True), signed=SIGNED, seed=SEED, cut=st.integers(1, 5))
def test_order_and_blocks_change_no_bit(v, signed, seed, cut):
    rng = np.random.default_rng(seed)
    order = [rng.permutation(length) for length in v.shape]
    if signed:  # chance depends on which cells are neighbours
        order[2] = np.arange(v.shape[2])
    whole = affinity(v, models=names(v), similarity="correlation", signed=signed).values
    w = v[np.ix_(*order)]
    blocks = AffinityAccumulator(names(v), similarity="correlation", signed=signed)
    for start in range(0, w.shape[1], cut):
        block = w[:, start : start + cut]
        blocks.add(block, block.any(axis=2))
    np.testing.assert_array_equal(blocks.result().values, whole[np.ix_(order[0], order[0])])
    np.testing.assert_array_equal(whole, whole.T)
    assert (np.abs(whole) <= 1).all()
    assert (whole.diagonal() == 1).all()


@given(seed=SEED, signed=SIGNED)
def test_an_offset_of_a_map_does_not_matter_and_of_signed_maps_the_sign_neither(seed, signed):
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=(4, 5, 64)).astype(np.float32)
    moved = raw * (rng.choice([-1, 1], size=(4, 5, 1)) if signed else 1) + rng.normal(size=(4, 5, 1))
    a, b = (
        affinity(
            unit_maps(maps.astype(np.float32)), models=names(raw), similarity="correlation", signed=signed
        )
        for maps in (raw, moved)
    )
    np.testing.assert_allclose(a.values, b.values, atol=5e-3)  # float16 in the maps


def test_a_flat_map_has_nothing_in_common_with_others():
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(3, 2, 49)).astype(np.float32)
    raw[1] = 1.0
    for signed, alike in ((False, lambda a, b: pearsonr(a, b).statistic), (True, above_chance)):
        got = affinity(unit_maps(raw), models=["a", "flat", "b"], similarity="correlation", signed=signed)
        assert got.values[1].tolist() == [0, 1, 0]
        assert got.values[0, 2] == pytest.approx(np.mean([alike(*raw[::2, p]) for p in (0, 1)]), abs=2e-3)


def smooth_noise(*shape):
    rng = np.random.default_rng(5)
    return gaussian_filter(rng.normal(size=shape), (0, 0, 1, 1), mode="wrap").astype(np.float32)


def test_signed_maps_that_have_nothing_to_do_with_each_other_are_at_0():
    raw = smooth_noise(5, 100, 32, 32).reshape(5, 100, 1024)
    got = affinity(unit_maps(raw), models=names(raw), similarity="correlation", signed=True).values
    pairs = np.triu_indices(5, 1)
    plain = np.mean([[abs(pearsonr(*two).statistic) for two in zip(raw[i], raw[j], strict=True)]
                     for i, j in zip(*pairs, strict=True)])  # fmt: skip
    assert plain > 0.05
    assert abs(got[pairs].mean()) < 0.005
    assert np.abs(got[pairs]).max() < 0.03


def test_signed_maps_that_repeat_after_half_their_width_cannot_be_told_from_chance():
    raw = np.tile(np.random.default_rng(0).normal(size=(2, 3, 8, 4)), 2).reshape(2, 3, 64).astype(np.float32)
    got = affinity(unit_maps(raw), models=["a", "b"], similarity="correlation", signed=True).values
    assert got[0, 1] == pytest.approx(0, abs=1e-3)
    assert got.diagonal().tolist() == [1, 1]


def test_signed_maps_that_are_not_square_are_refused():
    with pytest.raises(InputError, match="needs square maps, row by row: 50 cells are none"):
        affinity(np.full((2, 1, 50), 50**-0.5, np.float32), models=["a", "b"], similarity="correlation",
                 signed=True)  # fmt: skip


def test_intervals_are_those_of_the_correlations():
    v = unit_maps(np.random.default_rng(1).normal(size=(3, 40, 36)).astype(np.float32))
    collected = AffinityAccumulator(names(v), similarity="correlation", signed=True, bootstrap=400, seed=0)
    collected.add(v, v.any(axis=2))
    ends = collected.interval()
    per_image = np.array([above_chance(a, b) for a, b in zip(*v[:2].astype(float), strict=True)])
    half = 1.96 * per_image.std() / np.sqrt(40)
    assert ends.low[0, 1] == pytest.approx(per_image.mean() - half, abs=0.3 * half)
    assert ends.high[0, 1] == pytest.approx(per_image.mean() + half, abs=0.3 * half)


def test_an_unknown_similarity_is_refused_with_those_there_are():
    with pytest.raises(InputError, match="unknown similarity 'angle': choose from cosine, correlation"):
        AffinityAccumulator(["a"], similarity="angle")
