"""A run that is killed anywhere and resumed equals, byte for byte, one that was left alone."""

import os
import re
import shutil
import signal
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from chartable import results
from killable import Ending, Server
from modelatlas.atlas import open_atlas

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")

MODELS = ("relu", "silu")
OPTIONS = {"images": 36, "batch": 8}


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="module")
def undisturbed(server, tmp_path_factory, pictures):
    """An atlas, every file that was put in its place while it was made, in order, and how long that took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    assert server.chart(folder / "atlas", pictures, *MODELS, log=folder / "log", **OPTIONS) == 0
    seconds = time.monotonic() - began
    return folder / "atlas", [Path(line) for line in (folder / "log").read_text().splitlines()], seconds


def kind(path: Path) -> str:
    """What sort of file a write is of."""
    if "maps.zarr" in path.parts:
        part = "norms" if ".norms" in str(path) else "maps"
        return f"zarr metadata ({part})" if path.name == "zarr.json" else f"chunk ({part})"
    return re.sub(r"^\d+", "mark", re.sub(r"saliency|gradient-x-input|epsilon-lrp", "method", path.name))


def is_whole(out: Path, undisturbed: Path) -> None:
    assert results(out) == results(undisturbed)
    for mine, other in zip(open_atlas(out).models, open_atlas(undisturbed).models, strict=True):
        assert {**mine.details, "seconds": 0} == {**other.details, "seconds": 0}
    for model in open_atlas(out).names:
        for method, maps in open_atlas(out).maps(model).items():
            np.testing.assert_array_equal(maps, open_atlas(undisturbed).maps(model)[method])
    left = [path for path in out.rglob("*") if path.suffix in (".tmp", ".partial")]
    assert left == []


def test_killed_once_inside_every_kind_of_write(server, undisturbed, tmp_path, pictures):
    whole, writes, _ = undisturbed
    places = defaultdict(list)
    for number, path in enumerate(writes):
        places[kind(path)].append(number)
    assert {"model.json", "mark.json", "atlas.json", "probe.json", "thumbnails.npz", "chunk (maps)"} <= set(
        places
    )
    assert {"method.csv", "method.ci.csv", "method.nwk", "chunk (norms)", "zarr metadata (maps)"} <= set(
        places
    )
    moments = ("torn", "before", "after_it")
    for order, (what, numbers) in enumerate(sorted(places.items())):
        # The kinds take turns in the moment and in first, middle, last of their writes.
        moment = moments[order % 3]
        number = numbers[[0, len(numbers) // 2, -1][order // 3 % 3]]
        out = tmp_path / str(order)
        status = server.chart(out, pictures, *MODELS, ending=Ending(number, moment), **OPTIONS)
        assert status == -signal.SIGKILL, (what, moment)
        assert server.chart(out, pictures, *MODELS, **OPTIONS) == 0, (what, moment)
        is_whole(out, whole)


def test_killed_again_and_again_at_any_write(server, undisturbed, tmp_path, pictures):
    """One atlas, killed at a random write of every resumption until one comes through."""
    whole, writes, _ = undisturbed
    rng = np.random.default_rng(3)
    for attempt in range(3):
        out, kills = tmp_path / str(attempt), 0
        while True:
            ending = Ending(
                int(rng.integers(1, len(writes) // 2)), str(rng.choice(["torn", "before", "after_it"]))
            )
            if server.chart(out, pictures, *MODELS, ending=ending, **OPTIONS) == 0:
                break
            kills += 1
        assert kills >= 1
        is_whole(out, whole)


def test_killed_from_outside_at_any_moment(server, undisturbed, tmp_path, pictures):
    whole, _, seconds = undisturbed
    rng = np.random.default_rng(4)
    out, kills = tmp_path / "a", 0

    def chart(**ending):
        return server.chart(out, pictures, *MODELS, ending=Ending(**ending), **OPTIONS)

    while (status := chart(seconds=rng.uniform(0.1, 0.9) * seconds)) or not kills:
        kills += status < 0
        if status == 0:  # the machine is less busy than it was: kill earlier
            shutil.rmtree(out)
            seconds /= 2
    is_whole(out, whole)


def test_killed_while_it_was_extended(server, undisturbed, tmp_path, pictures):
    """More images and one more model: what was there stays readable all the time, and the end is the same."""
    first, both = tmp_path / "a", tmp_path / "b"
    for out in (first, both):
        assert server.chart(out, pictures, *MODELS, **{**OPTIONS, "images": 20}) == 0
    before = open_atlas(first).affinity()
    more = (*MODELS, "gelu")
    assert server.chart(both, pictures, *more, log=tmp_path / "log", **OPTIONS) == 0
    writes = len((tmp_path / "log").read_text().splitlines())
    assert writes // 3 < writes - writes // 3 - 3 * 3
    for number in (2, writes // 3):  # the second run has less to write before the results begin
        assert server.chart(first, pictures, *more, ending=Ending(number), **OPTIONS) == -signal.SIGKILL
        assert open_atlas(first).affinity().equals(before)
    assert server.chart(first, pictures, *more, **OPTIONS) == 0
    is_whole(first, both)
