from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from modelatlas.run.plan import missing

METHODS = ("saliency", "gradient-x-input", "epsilon-lrp")
methods = st.lists(st.sampled_from(METHODS), unique=True, min_size=1)
shards = st.integers(1, 5)
done = st.dictionaries(st.integers(0, 6), st.dictionaries(st.sampled_from(METHODS), st.integers(0, 5)))


def cells(items):
    return [
        (image, method) for item in items for image in range(item.start, item.stop) for method in item.methods
    ]


@given(images=st.integers(0, 30), methods=methods, done=done, shard=shards)
def test_a_plan_is_what_is_asked_for_minus_what_is_done(images, methods, done, shard):
    planned = cells(missing(images, methods, done, shard=shard))
    asked = {(image, method) for image in range(images) for method in methods}
    stored = {
        (place * shard + image, method)
        for place, counts in done.items()
        for method, count in counts.items()
        for image in range(min(count, shard))
    }
    assert set(planned) == asked - stored
    assert len(planned) == len(set(planned))


@given(images=st.integers(0, 30), methods=methods, done=done, shard=shards)
def test_an_item_lies_in_one_shard_and_items_do_not_overlap(images, methods, done, shard):
    items = missing(images, methods, done, shard=shard)
    for item in items:
        assert item.start < item.stop
        assert item.start // shard == (item.stop - 1) // shard
    for before, after in pairwise(items):
        assert before.stop <= after.start  # so that no image passes through the network twice


@given(images=st.integers(1, 30), more=st.integers(0, 30), shard=shards)
def test_a_longer_plan_begins_at_the_same_shards(images, more, shard):
    """What a killed run does in its shards, a run of more images does in the same ones."""
    first, longer = (missing(count, METHODS, {}, shard=shard) for count in (images, images + more))
    whole = images // shard
    assert first[:whole] == longer[:whole]


def test_methods_of_a_shard_share_their_passes():
    (item,) = missing(32, METHODS, {})
    assert item.methods == METHODS
