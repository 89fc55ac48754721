"""The measured transfers as they ship: what the affinities were made of, and what they must look like."""

import json
import re
from typing import NamedTuple

import numpy as np
import pytest
from minizoo.readouts import ROWS

from modelatlas.cli import app
from modelatlas.evaluation import document, evaluate, mini_transfers
from modelatlas.fetch import mini_data

DATA = mini_data(needed_for="a test")
SEEDS = {"all": 11, "again": 12, "half-a": 11, "half-b": 11}


class Losses(NamedTuple):
    rows: dict
    views: list
    abouts: dict


@pytest.fixture(scope="module")
def measured():
    """Seed -> target -> what its file holds."""
    found = {11: {}, 12: {}}
    for path in sorted((DATA / "transfers").glob("*.npz")):
        target, seed = path.stem.rsplit("-", 1)
        with np.load(path) as file:
            names = file["rows"].tolist()
            rows = dict(zip(names, file["losses"].astype(np.float64), strict=True))
            abouts = {
                name: json.loads(text) for name, text in zip(names, file["about"].tolist(), strict=True)
            }
            found[int(seed)][target] = Losses(rows, file["views"].tolist(), abouts)
    return found


def test_all_pairs_were_measured():
    table = mini_transfers()
    assert (len(table.sources), len(table.targets)) == (20, 18)
    assert {*table.sources} - {*table.targets} == {"colorization", "inpainting_whole"}
    for name in SEEDS:
        found = mini_transfers(name)
        assert {*found.sources} == {*table.sources}
        assert np.isfinite(found.values).all()
        np.testing.assert_allclose(found.values.sum(0), 1)
        assert len(found.targets) == (6 if name == "again" else 18)


@pytest.mark.parametrize("name", SEEDS)
def test_affinities_are_those_of_the_losses(name, measured):
    """Win rates counted view by view and power iteration: the hierarchy process as Taskonomy states it."""
    frame = mini_transfers(name).frame()
    for target, (losses, views, _) in measured[SEEDS[name]].items():
        shown = [re.match(r"test-\d+/r\d+", view)[0] for view in views]
        rooms = list(dict.fromkeys(shown))
        which = {"half-a": {*rooms[::2]}, "half-b": {*rooms[1::2]}}.get(name, {*rooms})
        seen = np.array([room in which for room in shown])
        rows = {source: row[seen] for source, row in losses.items() if source not in ROWS}
        table = np.stack([*rows.values()])
        wins = np.clip(np.array([np.mean((a < table) + (a == table) / 2, 1) for a in table]), 0.001, 0.999)
        column = np.ones(len(rows))
        for _ in range(1000):
            column = wins / wins.T @ column
            column /= column.sum()
        np.testing.assert_allclose(frame[target][list(rows)], column, rtol=1e-6)


def test_losses_are_of_the_encoders_that_ship(measured):
    """And of the same views, goal and budget for all sources of a target."""
    digests = {card["task"]: card["sha256"] for card in json.loads((DATA / "cards.json").read_text())}
    for targets in measured.values():
        for found in targets.values():
            assert len(found.views) == 520
            for name, about in found.abouts.items():
                assert about.pop("weights") == digests.get(name, "seed 7")
            assert len({json.dumps(about) for about in found.abouts.values()}) == 1


def test_what_must_lose_loses(measured):
    """The answer that sees no picture, and the untrained encoder, against the encoder of the very task."""
    for target, (losses, _, _) in measured[11].items():
        assert losses[target].mean() < losses["constant"].mean(), target
        assert losses[target].mean() < losses["random"].mean(), target


def test_a_task_serves_itself():
    frame = mini_transfers().frame()
    places = [frame[target].rank(ascending=False)[target] for target in frame.columns]
    assert np.mean(np.array(places) <= 3) > 0.6


def test_measurements_agree_with_one_another():
    """Both halves of the test rooms, and two seeds of the readouts: far above what predictions reach."""
    for one, other in (("half-a", "half-b"), ("again", "all")):
        assert document(evaluate(mini_transfers(one), mini_transfers(other)))["spearman"] > 0.75, one


def test_by_command(capsys):
    words = ["--affinity", "mini:half-a", "--reference", "mini:half-b", "--noise-reference", "mini:half-a"]
    assert app.run(["evaluate", *words, "--json"]) == 0
    got = json.loads(capsys.readouterr().out)
    assert (got["targets"], got["sources"]) == (18, 20)
    assert got["noise_ceiling"]["spearman"] == got["spearman"] > got["fixed_list"]["spearman"]
