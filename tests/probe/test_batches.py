"""Decoding beside the computation: the order, the bound on what waits, errors, and a clean stop."""

import threading
import time
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelatlas.errors import ProbeError
from modelatlas.probe import batches, open_probe
from modelatlas.probe.ahead import in_order


def channels_first(square):
    return square.transpose(2, 0, 1).astype(np.float32)


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("modelatlas-probe")]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert threads() == []


@pytest.mark.parametrize("batch", [1, 5, 12, 50])
@pytest.mark.parametrize("workers", [1, 4])
def test_batches_are_the_squares_in_order(pictures, batch, workers):
    probe = open_probe(pictures)
    found = list(batches(probe, channels_first, batch=batch, workers=workers))
    assert [index for part in found for index in part.indices] == list(range(12))
    assert all(len(part.indices) == batch for part in found[:-1])
    stacked = np.concatenate([part.inputs for part in found])
    assert stacked.dtype == np.float32
    for index in range(12):
        np.testing.assert_array_equal(stacked[index], channels_first(probe.square(index)))


def test_chosen_indices_in_their_order(pictures):
    probe = open_probe(pictures)
    found = list(batches(probe, channels_first, batch=2, indices=[7, 1, 1]))
    assert [part.indices for part in found] == [(7, 1), (1,)]
    np.testing.assert_array_equal(found[0].inputs[0], channels_first(probe.square(7)))
    assert list(batches(probe, channels_first, batch=2, indices=[])) == []


@given(
    delays=st.lists(st.sampled_from([0, 0, 0, 0.002]), max_size=12),
    workers=st.integers(1, 5),
    ahead=st.integers(1, 6),
)
def test_results_come_in_order_whichever_is_ready_first(delays, workers, ahead):
    def slow(item):
        time.sleep(item[1])
        return item

    items = list(enumerate(delays))
    assert list(in_order(slow, items, workers=workers, ahead=ahead)) == items


def test_only_so_many_wait_for_a_slow_consumer(pictures):
    probe = open_probe(pictures)
    made = []

    def counted(square):
        made.append(len(made))
        return channels_first(square)

    with closing(batches(probe, counted, batch=2, workers=1)) as ahead:
        for number, _ in enumerate(ahead):
            time.sleep(0.03)
            assert len(made) <= 2 * (number + 1) + 2 + 1  # delivered, and batch + workers beyond
    assert len(made) == 12


def test_decoding_runs_beside_the_consumer(pictures):
    """While the first batch is held, the second is decoded: nothing else could set the event."""
    probe = open_probe(pictures)
    begun = [threading.Event() for _ in range(12)]
    places = iter(range(12))

    def noted(square):
        begun[next(places)].set()
        return channels_first(square)

    for part in batches(probe, noted, batch=2, workers=1):
        assert begun[min(part.indices[-1] + 1, 11)].wait(timeout=20)


def test_an_error_arrives_in_its_place_and_stops_the_rest(pictures):
    probe = open_probe(pictures)
    probe.images[5].path.unlink()
    found = batches(probe, channels_first, batch=1, workers=3)
    assert [next(found).indices for _ in range(5)] == [(0,), (1,), (2,), (3,), (4,)]
    with pytest.raises(ProbeError, match="the file is missing") as caught:
        next(found)
    assert caught.value.image == probe.images[5].id

    def broken(square):
        raise ZeroDivisionError("in the transform")

    with pytest.raises(ZeroDivisionError, match="in the transform"):
        list(batches(probe, broken, batch=2, indices=[0, 1]))


def test_leaving_the_loop_stops_the_threads(pictures):
    probe = open_probe(pictures)
    begun = []

    def slow(square):
        begun.append(1)
        time.sleep(0.02)
        return channels_first(square)

    for _ in batches(probe, slow, batch=1, workers=1):
        break
    assert threads() == []
    assert len(begun) < 12
