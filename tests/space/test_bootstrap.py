import numpy as np
import pytest
from hypothesis import given, settings

from modelatlas.errors import EmptyOverlapError, InputError
from modelatlas.space import AffinityAccumulator
from modelatlas.space import bootstrap as module
from oracles import space as literal
from strategies import unit_map_vectors, unit_maps


def accumulated(v, **options):
    collected = AffinityAccumulator([f"m{i}" for i in range(len(v))], **{"bootstrap": 200, **options})
    collected.add(v, v.any(axis=2))
    return collected


@given(v=unit_map_vectors())
@settings(max_examples=20)
def test_equals_drawing_images_one_by_one(v):
    got = accumulated(v, bootstrap=100, seed=3).interval(0.9)
    low, high = literal.interval(v, replicates=100, seed=3, level=0.9)
    np.testing.assert_allclose(got.low, low, atol=1e-9)
    np.testing.assert_allclose(got.high, high, atol=1e-9)


@given(v=unit_map_vectors())
def test_holds_the_affinity_and_is_symmetric(v):
    collected = accumulated(v)
    interval, values = collected.interval(), collected.result().values
    for matrix in (interval.low, interval.high):
        np.testing.assert_array_equal(matrix, matrix.T)
        np.testing.assert_array_equal(matrix.diagonal(), 1)
    assert np.all((interval.low <= values) & (values <= interval.high))


def test_same_seed_same_bytes_other_seed_others():
    v = unit_maps(np.random.default_rng(0).normal(size=(4, 30, 20)).astype(np.float32))
    one, again, other = (accumulated(v, seed=s).interval().low for s in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_covers_the_true_affinity_about_as_often_as_it_says():
    # Maps of two cells at angle +-t from each other: the affinity of infinitely many images is E cos(t).
    rng = np.random.default_rng(7)
    inside, runs = 0, 300
    for _ in range(runs):
        angle = rng.uniform(0, 2, size=40)
        first = np.stack([np.ones(40), np.zeros(40)], axis=1)
        second = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        interval = accumulated(np.stack([first, second]).astype(np.float32), bootstrap=400).interval()
        inside += interval.low[0, 1] <= np.sin(2) / 2 <= interval.high[0, 1]
    assert 0.90 <= inside / runs <= 0.98  # nominal .95; binomial standard error .013


def test_merged_groups_give_about_the_same_interval(monkeypatch):
    v = unit_maps(np.random.default_rng(1).normal(size=(3, 301, 4)).astype(np.float32) + 0.5)
    full = accumulated(v, bootstrap=2000).interval()
    monkeypatch.setattr(module, "FEWEST_GROUPS", 40)
    small = AffinityAccumulator(["a", "b", "c"], bootstrap=2000)
    small._history = module.GramHistory(3, kept_bytes=0)
    small.add(v, v.any(axis=2))
    assert len(small._history._groups) <= 80
    np.testing.assert_array_equal(small._history._size * len(small._history._groups) >= 301, True)
    total = np.sum(small._history._groups, axis=0)
    np.testing.assert_allclose(total / 301, small.result().values[np.triu_indices(3, 1)], atol=1e-9)
    width, other = (x.high - x.low for x in (full, small.interval()))
    np.testing.assert_allclose(other[np.triu_indices(3, 1)], width[np.triu_indices(3, 1)], rtol=0.3)


def test_pairs_in_blocks_change_no_bit(monkeypatch):
    v = unit_maps(np.random.default_rng(2).normal(size=(9, 20, 8)).astype(np.float32))
    v[3, 5:] = 0
    whole = accumulated(v).interval()
    monkeypatch.setattr(module, "BLOCK_BYTES", 8 * 200 * 5)
    np.testing.assert_array_equal(accumulated(v).interval().high, whole.high)


def test_long_form_names_every_ordered_pair():
    collected = accumulated(unit_maps(np.random.default_rng(3).normal(size=(2, 5, 8)).astype(np.float32)))
    frame = collected.interval().frame(collected.result())
    assert list(frame.columns) == ["source", "target", "affinity", "low", "high"]
    assert frame[["source", "target"]].to_numpy().tolist() == [
        ["m0", "m0"],
        ["m0", "m1"],
        ["m1", "m0"],
        ["m1", "m1"],
    ]
    assert frame.affinity[1] == collected.result().values[0, 1]


def test_one_image_has_no_width_and_one_model_no_pairs():
    v = unit_maps(np.random.default_rng(4).normal(size=(2, 1, 8)).astype(np.float32))
    interval = accumulated(v).interval()
    np.testing.assert_allclose(interval.low, interval.high, atol=1e-9)
    assert accumulated(v[:1]).interval().low.tolist() == [[1.0]]


def test_impossible_requests_are_refused():
    v = unit_maps(np.random.default_rng(5).normal(size=(2, 3, 8)).astype(np.float32))
    with pytest.raises(InputError, match="at least 100"):
        AffinityAccumulator(["a", "b"], bootstrap=5)
    with pytest.raises(InputError, match="no interval of level 95"):
        accumulated(v).interval(95.0)
    with pytest.raises(InputError, match="from 0 replicates"):
        accumulated(v, bootstrap=0).interval()
    with pytest.raises(EmptyOverlapError):
        AffinityAccumulator(["a", "b"], bootstrap=100).interval()
