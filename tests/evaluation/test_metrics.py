import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import precision_score, recall_score

from modelatlas.evaluation import score
from modelatlas.evaluation.metrics import average_ranks, oracle_scores
from oracles import evaluation as literal


@st.composite
def tables(draw, *, missing=True):
    """Predicted and measured [source, target] with ties and gaps; the first targets are sources too."""
    sources, targets = draw(st.integers(2, 9)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    predicted, measured = rng.normal(size=(2, sources, targets))
    if draw(st.booleans()):
        predicted, measured = np.round(predicted, 0) + 0.0, np.round(measured, 0) + 0.0
    if missing:
        gap = draw(st.sampled_from([0.0, 0.2]))
        predicted[rng.random(predicted.shape) < gap] = np.nan
        measured[rng.random(measured.shape) < gap] = np.nan
    names = [f"s{k}" for k in rng.permutation(sources)]
    return predicted, measured, names, [*names[: targets - 1], "other"][:targets]


def scored(predicted, measured, sources, targets, **options):
    return score(predicted, measured, sources=sources, targets=targets, **options)


def candidates(predicted, measured, names, target):
    """What is ranked for one target: values of both sides and names."""
    keep = [
        k
        for k, name in enumerate(names)
        if name != target and not np.isnan(predicted[k]) and not np.isnan(measured[k])
    ]
    return predicted[keep], measured[keep], [names[k] for k in keep]


@given(tables(), st.integers(1, 6))
@settings(max_examples=25)
def test_precision_and_recall_are_those_of_scikit_learn(table, relevant):
    predicted, measured, sources, targets = table
    got = scored(*table, relevant=relevant)
    for t, target in enumerate(targets):
        ours, theirs, names = candidates(predicted[:, t], measured[:, t], sources, target)
        assert got.candidates[t] == len(names)
        assert np.isnan(got.precision[t, len(names) :]).all()
        truth = [name in literal.order(theirs, names)[:relevant] for name in names]
        for k in range(1, len(names) + 1):
            taken = [name in literal.order(ours, names)[:k] for name in names]
            assert got.precision[t, k - 1] == pytest.approx(precision_score(truth, taken))
            assert got.recall[t, k - 1] == pytest.approx(recall_score(truth, taken))
        np.testing.assert_allclose(
            got.precision[t, : len(names)] * np.arange(1, len(names) + 1),
            literal.hits_at(ours, theirs, names, relevant=relevant),
        )


@pytest.mark.filterwarnings("ignore:An input array is constant:scipy.stats.ConstantInputWarning")
@given(tables())
def test_correlations_are_those_of_scipy(table):
    predicted, measured, sources, targets = table
    got = scored(*table)
    for t, target in enumerate(targets):
        ours, theirs, names = candidates(predicted[:, t], measured[:, t], sources, target)
        if len(names) < 2 or len(set(ours)) < 2 or len(set(theirs)) < 2:
            assert np.isnan(got.spearman[t])
            assert np.isnan(got.kendall[t])
            continue
        assert got.spearman[t] == pytest.approx(stats.spearmanr(ours, theirs).statistic)
        assert got.kendall[t] == pytest.approx(stats.kendalltau(ours, theirs).statistic)
        known = ~np.isnan(predicted[:, t]) & ~np.isnan(measured[:, t])
        if target in sources and known[sources.index(target)]:
            want = stats.spearmanr(predicted[known, t], measured[known, t]).statistic
            assert got.spearman_with_self[t] == pytest.approx(want)
        else:
            assert np.isnan(got.spearman_with_self[t])


@given(tables())
def test_best_rank_and_regret(table):
    predicted, measured, sources, targets = table
    got = scored(*table)
    for t, target in enumerate(targets):
        ours, theirs, names = candidates(predicted[:, t], measured[:, t], sources, target)
        if not names:
            assert np.isnan(got.regret[t])
            continue
        ranked, best = literal.order(ours, names), literal.order(theirs, names)[0]
        assert got.best_rank[t] == ranked.index(best) + 1
        assert got.regret[t] == pytest.approx(theirs.max() - theirs[names.index(ranked[0])])
        assert got.regret[t] >= 0


@given(tables())
def test_what_the_reference_would_get_bounds_everything(table):
    got = scored(*table)
    best = oracle_scores(got)
    same = scored(np.where(np.isnan(table[0]), np.nan, table[1]), *table[1:])
    np.testing.assert_allclose(best.precision, same.precision)
    np.testing.assert_allclose(best.recall, same.recall)
    np.testing.assert_array_equal(best.regret, same.regret)
    known = ~np.isnan(got.precision)
    assert (got.precision[known] <= best.precision[known] + 1e-12).all()


@given(tables())
def test_a_rising_function_of_the_prediction_changes_nothing(table):
    predicted, measured, sources, targets = table
    one, other = scored(*table), scored(np.exp(predicted) * 3 - 1, measured, sources, targets)
    for name in ("spearman", "spearman_with_self", "kendall", "precision", "recall", "best_rank", "regret"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-12)


@given(tables(), st.integers(0, 2**32 - 1))
def test_order_of_sources_changes_nothing(table, seed):
    predicted, measured, sources, targets = table
    order = np.random.default_rng(seed).permutation(len(sources))
    one = scored(*table)
    other = scored(predicted[order], measured[order], [sources[k] for k in order], targets)
    for name in ("spearman", "kendall", "precision", "recall", "best_rank", "regret"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-12)


def test_hand_computed_with_ties_and_a_missing_entry():
    #            predicted        measured
    # a (self)   9                9
    # b          .5               3
    # c          .5               1          tie with b: b first, by name
    # d          .8               2
    # e          .1               -          not measured: no candidate
    predicted = np.array([[9, 0.5, 0.5, 0.8, 0.1]]).T
    measured = np.array([[9, 3, 1, 2, np.nan]]).T
    got = scored(predicted, measured, list("abcde"), ["a"], relevant=2)
    assert got.candidates.tolist() == [3]
    # Ours: d, b, c. Relevant: b, d.
    np.testing.assert_allclose(got.precision[0, :3], [1, 1, 2 / 3])
    np.testing.assert_allclose(got.recall[0, :3], [0.5, 1, 1])
    assert got.best_rank[0] == 2
    assert got.regret[0] == 1
    # Ranks (1.5, 1.5, 3) and (3, 1, 2): deviations (-.5, -.5, 1) and (1, -1, 0), product 0.
    assert got.spearman[0] == pytest.approx(0)
    # Ranks (4, 1.5, 1.5, 3), (4, 3, 1, 2): (1.5, -1, -1, .5).(1.5, .5, -1.5, -.5) = 3 over sqrt(4.5 * 5).
    assert got.spearman_with_self[0] == pytest.approx(3 / np.sqrt(22.5))
    # Pairs bc: tie; bd: -1; cd: +1; tau-b 0.
    assert got.kendall[0] == pytest.approx(0)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_ties_share_the_average_of_their_ranks(values):
    want = [literal.average_rank(values, k) for k in range(len(values))]
    np.testing.assert_array_equal(average_ranks(np.array(values, dtype=float)), want)
