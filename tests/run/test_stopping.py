"""Stopping when every affinity is known well enough."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chartable import chart_small, images_computed, results, spec, write_pictures
from modelatlas.atlas import open_atlas
from modelatlas.errors import InputError
from modelatlas.run.stopping import stages
from modelatlas.store import SHARD

MODELS = ("relu", "gelu")


@given(images=st.integers(1, 20_000))
def test_stages_are_shards_that_grow_and_end_with_all_images(images):
    found = list(stages(images))
    assert found[-1] == images
    assert all(a < b for a, b in itertools.pairwise(found))
    assert all(count % SHARD == 0 for count in found[:-1])
    assert all(b <= 1.5 * a + SHARD for a, b in itertools.pairwise(found))


@given(fewer=st.integers(1, 5000), more=st.integers(0, 5000))
def test_a_larger_probe_is_looked_at_at_the_same_stages(fewer, more):
    assert list(stages(fewer))[:-1] == list(stages(fewer + more))[: len(list(stages(fewer))) - 1]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("many"), 2 * SHARD + 10)


def half_widths(out):
    atlas = open_atlas(out)
    tables = [atlas.interval(method) for method in atlas.methods]
    return max(((t.high - t.low)[t.source != t.target] / 2).max() for t in tables)


def test_it_stops_at_the_first_stage_that_is_good_enough(tmp_path, many):
    out, events = tmp_path / "whole", []
    chart_small(out, many, *MODELS, images=SHARD)
    first = half_widths(out)
    chart_small(out, many, *MODELS, images=2 * SHARD)
    second = half_widths(out)
    assert second < first  # else the pictures were chosen badly for this test
    wanted = float(np.sqrt(first * second))

    stopped = tmp_path / "stopped"
    chart_small(stopped, many, *MODELS, until=wanted, events=events)
    stop = json.loads((stopped / "atlas.json").read_text())["settings"]["until"]
    assert stop["images"] == 2 * SHARD
    assert stop["available"] == 2 * SHARD + 10
    assert stop["reached"]
    assert stop["widest"]["half_width"] == second
    assert {stop["widest"]["source"], stop["widest"]["target"]} == {spec(name) for name in MODELS}
    assert len(open_atlas(stopped).images()) == 2 * SHARD
    assert images_computed(events) == dict.fromkeys(MODELS, 2 * SHARD)
    assert results(stopped) == results(out)


def test_repeated_it_stops_at_the_same_image_and_computes_nothing(tmp_path, many):
    out, events = tmp_path / "atlas", []
    chart_small(out, many, *MODELS, until=0.5)
    before = results(out)
    assert len(open_atlas(out).images()) == SHARD
    chart_small(out, many, *MODELS)  # somebody wanted all of them
    chart_small(out, many, *MODELS, until=0.5, events=events)
    assert results(out) == before
    assert images_computed(events) == {}


def test_what_fails_at_one_stage_is_not_tried_at_the_next(tmp_path, many):
    out, events = tmp_path / "atlas", []
    result = chart_small(out, many, *MODELS, "raising", until=1e-9, events=events)
    assert list(result.excluded) == [spec("raising")]
    assert [event.kind for event in events if event.model == spec("raising")].count("loading") == 1
    assert json.loads((out / "atlas.json").read_text())["models"][spec("raising")]["status"] == "excluded"
    chart_small(out, many, *MODELS, "raising", until=1e-9, events=events)  # another run: it may be repaired
    assert [event.kind for event in events if event.model == spec("raising")].count("loading") == 2


def test_a_probe_that_is_too_small_is_used_up_and_that_is_said(tmp_path, many):
    out = tmp_path / "atlas"
    chart_small(out, many, *MODELS, images=20, until=1e-9)
    stop = json.loads((out / "atlas.json").read_text())["settings"]["until"]
    assert not stop["reached"]
    assert (stop["images"], stop["saved"]) == (20, 0)


def test_one_model_alone_needs_one_stage(tmp_path, many):
    chart_small(tmp_path / "atlas", many, "relu", until=0.01)
    stop = json.loads((tmp_path / "atlas" / "atlas.json").read_text())["settings"]["until"]
    assert stop["widest"] is None
    assert stop["images"] == SHARD


@pytest.mark.parametrize("width", [0, -0.1, float("nan"), float("inf")])
def test_a_width_that_is_no_width_is_refused_before_anything_is_written(tmp_path, many, width):
    with pytest.raises(InputError, match="until"):
        chart_small(tmp_path / "atlas", many, *MODELS, until=width)
    assert not (tmp_path / "atlas").exists()
