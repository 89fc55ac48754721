import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelatlas.errors import EmptyOverlapError, InputError
from modelatlas.space import Affinity, AffinityAccumulator, affinity
from oracles import space as literal
from strategies import raw_maps, unit_map_vectors, unit_maps


def names(vectors):
    return [f"m{i}" for i in range(len(vectors))]


def permuted(vectors, seed, axis):
    order = np.random.default_rng(seed).permutation(vectors.shape[axis])
    return order, np.take(vectors, order, axis=axis)


SEED = st.integers(0, 2**32 - 1)


@given(v=unit_map_vectors())
@settings(max_examples=50)
def test_equals_the_rational_sum_to_the_last_bits(v):
    got = affinity(v, models=names(v)).values
    np.testing.assert_allclose(got, literal.affinity(v), rtol=4e-16, atol=0)


@given(v=unit_map_vectors())
def test_is_symmetric_with_unit_diagonal_within_one(v):
    a = affinity(v, models=names(v))
    np.testing.assert_array_equal(a.values, a.values.T)
    np.testing.assert_array_equal(a.values.diagonal(), 1)
    assert np.abs(a.values).max() <= 1
    np.testing.assert_array_equal(a.counts, np.einsum("ip,jp->ij", *[v.any(2).astype(int)] * 2))


@given(v=unit_map_vectors(), seed=SEED)
def test_permuting_models_permutes_the_matrix(v, seed):
    order, w = permuted(v, seed, 0)
    a, b = (affinity(x, models=names(x)).values for x in (v, w))
    np.testing.assert_array_equal(a[np.ix_(order, order)], b)


@given(v=unit_map_vectors(), seed=SEED, axis=st.sampled_from([1, 2]))
def test_order_of_images_and_cells_changes_no_bit(v, seed, axis):
    a, b = (affinity(x, models=names(x)).values for x in (v, permuted(v, seed, axis)[1]))
    np.testing.assert_array_equal(a, b)


@given(raw=raw_maps(), seed=SEED)
def test_positive_scaling_of_raw_maps_changes_nothing(raw, seed):
    # Powers of two, so that float32 normalisation gives the same bits; each map has a scale of its own.
    scale = 2.0 ** np.random.default_rng(seed).integers(-20, 20, size=(*raw.shape[:2], 1))
    a, b = (affinity(unit_maps(x), models=names(x)).values for x in (raw, (raw * scale).astype(np.float32)))
    np.testing.assert_array_equal(a, b)


@given(v=unit_map_vectors(dead=False))
def test_a_duplicate_is_next_to_its_twin_and_sees_the_others_alike(v):
    a = affinity(np.concatenate([v, v[:1]]), models=[*names(v), "twin"]).values
    assert a[0, -1] == pytest.approx(1, abs=1.5e-3)  # float16 rounding of the norm
    np.testing.assert_array_equal(a[0, 1:-1], a[-1, 1:-1])


@given(v=unit_map_vectors(), cut=st.integers(1, 5))
def test_block_size_changes_no_bit(v, cut):
    blocks = AffinityAccumulator(names(v), bootstrap=100)
    for start in range(0, v.shape[1], cut):
        block = v[:, start : start + cut]
        blocks.add(block, block.any(axis=2))
    at_once = AffinityAccumulator(names(v), bootstrap=100)
    at_once.add(v, v.any(axis=2))
    assert blocks.result().frame().to_csv() == at_once.result().frame().to_csv()
    one, other = blocks.interval(), at_once.interval()
    assert one.frame(blocks.result()).to_csv() == other.frame(at_once.result()).to_csv()


def test_cells_in_chunks_change_no_bit(monkeypatch):
    v = unit_maps(np.random.default_rng(5).normal(size=(7, 3, 5000)).astype(np.float32))
    whole = affinity(v, models=names(v)).values
    monkeypatch.setattr("modelatlas.space.exact.CHUNK_BYTES", 8 * 7 * 333)
    np.testing.assert_array_equal(affinity(v, models=names(v)).values, whole)


def test_hand_computed_value():
    # (0.6, 0.8) and (1, 0): 0.6; (0, 1) and (0, 1): 1; third image dead for the second model: left out.
    v = np.array([[[0.6, 0.8], [0, 1], [1, 0]], [[1, 0], [0, 1], [0, 0]]], dtype=np.float32)
    a = affinity(v, models=["a", "b"])
    assert a.values[0, 1] == pytest.approx(0.8, abs=1e-7)
    assert a.counts.tolist() == [[3, 2], [2, 2]]


def test_float32_maps_agree_with_a_float64_sum():
    v = np.random.default_rng(1).normal(size=(5, 4, 300)).astype(np.float32)
    v /= np.linalg.norm(v, axis=2, keepdims=True)
    want = np.einsum("ipc,jpc->ij", v.astype(np.float64), v.astype(np.float64)) / 4
    np.fill_diagonal(want, 1)
    np.testing.assert_allclose(affinity(v, models=names(v)).values, want, atol=1e-13)


def test_what_a_dead_map_holds_does_not_matter():
    v = unit_maps(np.random.default_rng(2).normal(size=(3, 4, 9)).astype(np.float32))
    alive = np.ones((3, 4), dtype=bool)
    alive[1, 2] = False
    results = []
    for junk in (0, np.nan, np.inf):
        v[1, 2] = junk
        collected = AffinityAccumulator(names(v))
        collected.add(v, alive)
        results.append(collected.result().values)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_two_models_that_never_meet_are_named():
    v = np.zeros((3, 2, 2), dtype=np.float16)
    v[0, :, 0] = v[1, 0, 0] = v[2, 1, 0] = 1
    with pytest.raises(EmptyOverlapError, match=r"left and right .*--images.*--exclude") as caught:
        affinity(v, models=["all", "left", "right"])
    assert caught.value.pair == ("left", "right")


def test_maps_that_were_never_normalised_are_refused():
    with pytest.raises(InputError, match=r"b: map of image 0 has squared norm 4, not 1: normalise"):
        affinity(np.array([[[1, 0]], [[2, 0]]], dtype=np.float16), models=["a", "b"])
    nan = AffinityAccumulator(["a"])
    with pytest.raises(InputError, match="squared norm nan"):
        nan.add(np.full((1, 1, 2), np.nan, dtype=np.float16), np.array([[True]]))


def test_wrong_shapes_and_equal_names_are_refused():
    with pytest.raises(InputError, match="two models are called 'a'"):
        AffinityAccumulator(["a", "b", "a"])
    with pytest.raises(InputError, match="do not fit 2 models"):
        AffinityAccumulator(["a", "b"]).add(np.ones((3, 1, 1), dtype=np.float16), np.ones((3, 1), dtype=bool))


def test_one_model_alone_has_a_matrix_of_one():
    a = affinity(np.ones((1, 2, 1), dtype=np.float16), models=["only"])
    assert a.frame().to_csv() == ",only\nonly,1.0\n"


def test_result_and_input_stay_as_they_are():
    v = unit_maps(np.random.default_rng(3).normal(size=(3, 4, 9)).astype(np.float32))
    before = v.tobytes()
    a = affinity(v, models=names(v))
    assert v.tobytes() == before
    with pytest.raises(ValueError, match="read-only"):
        a.values[0, 0] = 2


def test_frame_and_back():
    v = unit_maps(np.random.default_rng(4).normal(size=(3, 4, 9)).astype(np.float32))
    a = affinity(v, models=["x", "y", "z"])
    back = Affinity.from_frame(a.frame())
    assert back.models == a.models
    np.testing.assert_array_equal(back.values, a.values)
    with pytest.raises(InputError, match="same names in the same order"):
        Affinity.from_frame(a.frame()[["y", "x", "z"]])


def test_memory_above_the_maps_is_a_few_matrices():
    v = unit_maps(np.random.default_rng(6).normal(size=(40, 6, 16384)).astype(np.float32))
    collected = AffinityAccumulator(names(v), bootstrap=1000)
    tracemalloc.start()
    collected.add(v, v.any(axis=2))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * 8 * 40 * 16384  # one image of all models in float64, and the test for zeros
