"""The paper's authors' own ground-truth ranking and random baseline, from their published code.

zju-vipa/TransferbilityFromAttributionMaps at 6818649, `explain_result/sort_gt.npy` and `tools/plot.py` (MIT
licence, Copyright (c) 2019 yxchen): for each target the numbers of all tasks, best source first, the target
itself put first.
"""

import numpy as np
import pytest
from scipy.special import comb

from modelatlas.evaluation import TransferTable, evaluate, read_transfers

TASKS = (
    *("autoencoder", "curvature", "denoise", "edge2d", "edge3d", "keypoint2d", "keypoint3d", "colorization"),
    *("reshade", "rgb2depth", "rgb2mist", "rgb2sfnorm", "room_layout", "segment25d", "segment2d"),
    *("vanishing_point", "segmentsemantic", "class_1000", "class_places", "inpainting_whole"),
)
RANKING = """
0 2 19 7 14 5 18 17 1 16 4 8 6 10 13 11 9 12 3 15
1 11 9 6 10 8 4 13 19 12 15 16 17 3 2 0 5 18 14 7
2 19 0 7 14 5 18 17 16 1 8 10 4 6 13 9 11 12 3 15
3 5 0 14 2 7 19 1 6 13 16 4 17 18 11 10 8 9 12 15
4 11 6 9 1 10 8 13 12 18 16 15 14 3 2 7 5 19 0 17
5 2 0 7 14 19 17 18 3 16 1 10 6 4 8 13 11 9 12 15
6 1 11 13 4 8 10 9 14 19 2 3 5 17 0 16 18 7 15 12
8 11 10 9 4 6 1 13 12 16 15 18 3 17 5 14 7 0 2 19
9 10 8 6 11 4 1 13 16 12 18 17 14 15 7 3 2 5 0 19
10 9 8 4 6 11 1 13 16 12 18 17 15 7 14 3 2 0 5 19
11 8 4 6 1 13 10 9 12 15 3 5 14 19 16 18 0 2 7 17
12 11 15 8 4 10 9 6 1 13 18 3 16 17 7 14 5 0 19 2
13 6 11 1 4 8 10 9 3 14 5 0 2 19 16 7 18 17 12 15
14 0 5 2 7 3 19 13 18 1 16 4 17 8 10 11 6 9 12 15
15 11 12 8 4 13 6 1 9 10 3 5 18 14 16 17 19 0 7 2
16 1 11 6 8 18 4 13 10 9 17 14 7 5 2 0 3 19 12 15
17 18 16 4 1 6 11 10 13 8 12 2 7 14 19 0 5 3 15 9
18 17 16 4 1 6 11 8 10 13 7 9 12 14 5 2 0 19 3 15
"""


@pytest.fixture
def theirs():
    """Their ranking as a table of affinities: minus the place."""
    rows = np.array([line.split() for line in RANKING.split("\n") if line], dtype=int)
    values = np.empty((len(TASKS), len(rows)))
    for column, row in enumerate(rows):
        values[row, column] = -np.arange(len(row))
    return TransferTable("authors", TASKS, tuple(TASKS[row[0]] for row in rows), values)


def test_16k_affinities_give_the_authors_ranking(published, theirs):
    reference = read_transfers(published, training_set="16k")
    got = evaluate(theirs, reference)
    assert (len(got.measured.targets), len(got.measured.sources)) == (18, 20)
    np.testing.assert_allclose(got.scores.spearman, 1)
    np.testing.assert_allclose(got.scores.precision, got.oracle.precision)
    np.testing.assert_allclose(got.scores.best_rank, 1)
    other = evaluate(theirs, read_transfers(published, training_set="standard"))
    assert (other.scores.spearman < 1).any()


def test_their_random_baseline_is_the_closed_form(theirs):
    got = evaluate(theirs, theirs)
    for k in range(1, 20):
        # As in their code: hypergeometric chances, five of nineteen being relevant.
        chances = [comb(5, i) * comb(14, k - i) * i / k for i in range(1, 6)]
        assert sum(chances) / comb(19, k) == pytest.approx(got.random_precision)


def test_precision_as_their_code_counts_it(theirs):
    rng = np.random.default_rng(0)
    guess = rng.uniform(size=theirs.values.shape)
    for column, target in enumerate(theirs.targets):
        guess[TASKS.index(target), column] = 2  # their maps have the target itself on top
    got = evaluate(TransferTable("guess", TASKS, theirs.targets, guess), theirs).scores.means()
    relevant = np.argsort(-theirs.values.T, axis=1)[:, 1:6]
    ranked = np.argsort(-guess.T, axis=1)
    for k in range(1, 20):
        hits = sum(len(np.intersect1d(a, b[1 : k + 1])) for a, b in zip(relevant, ranked, strict=True))
        assert got["precision"][k - 1] == pytest.approx(hits / k / 18)
        assert got["recall"][k - 1] == pytest.approx(hits / 5 / 18)
