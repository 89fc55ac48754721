"""Affinity by correlation, against `scipy.stats.pearsonr` and what must hold of any such mean."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import pearsonr

from modelatlas.errors import InputError
from modelatlas.space import AffinityAccumulator, affinity
from strategies import unit_map_vectors, unit_maps

SEED = st.integers(0, 2**32 - 1)
SIGNED = st.booleans()


def names(vectors):
    return [f"m{i}" for i in range(len(vectors))]


def by_scipy(vectors, *, signed):
    count = len(vectors)
    out = np.eye(count)
    for i, j in ((i, j) for i in range(count) for j in range(count) if i != j):
        values = []
        for a, b in zip(vectors[i].astype(float), vectors[j].astype(float), strict=True):
            if a.any() and b.any():
                r = pearsonr(a, b).statistic
                values.append(abs(r) if signed else r)
        out[i, j] = np.mean(values)
    return out


@given(v=unit_map_vectors(), signed=SIGNED)
def test_equals_the_mean_of_scipys_correlations(v, signed):
    assume((v.astype(float).var(2) * v.shape[2] > 1e-5)[v.any(2)].all())  # flat maps: a test of their own
    got = affinity(v, models=names(v), similarity="correlation", signed=signed)
    np.testing.assert_allclose(got.values, by_scipy(v, signed=signed), atol=1e-9)


@given(v=unit_map_vectors(), signed=SIGNED, seed=SEED, cut=st.integers(1, 5))
def test_order_and_blocks_change_no_bit(v, signed, seed, cut):
    rng = np.random.default_rng(seed)
    order = [rng.permutation(length) for length in v.shape]
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
    raw = rng.normal(size=(3, 2, 50)).astype(np.float32)
    raw[1] = 1.0
    got = affinity(unit_maps(raw), models=["a", "flat", "b"], similarity="correlation")
    assert got.values[1].tolist() == [0, 1, 0]
    assert got.values[0, 2] == pytest.approx(
        np.mean([pearsonr(*raw[::2, p]).statistic for p in (0, 1)]), abs=2e-3
    )


def test_intervals_are_those_of_the_correlations():
    v = unit_maps(np.random.default_rng(1).normal(size=(3, 40, 30)).astype(np.float32))
    collected = AffinityAccumulator(names(v), similarity="correlation", signed=True, bootstrap=400, seed=0)
    collected.add(v, v.any(axis=2))
    ends = collected.interval()
    per_image = np.abs([pearsonr(a, b).statistic for a, b in zip(*v[:2].astype(float), strict=True)])
    half = 1.96 * per_image.std() / np.sqrt(40)
    assert ends.low[0, 1] == pytest.approx(per_image.mean() - half, abs=0.3 * half)
    assert ends.high[0, 1] == pytest.approx(per_image.mean() + half, abs=0.3 * half)


def test_an_unknown_similarity_is_refused_with_those_there_are():
    with pytest.raises(InputError, match="unknown similarity 'angle': choose from cosine, correlation"):
        AffinityAccumulator(["a"], similarity="angle")
