import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.conftest import PAPER
from modelatlas.errors import InputError
from modelatlas.evaluation import TransferTable, details, document, evaluate, fixed_list, read_transfers
from oracles import evaluation as literal
from strategies import affinity_matrices

SIXTEEN = tuple(name for name in PAPER if name not in ("class_places", "colorization", "inpainting_whole"))


def table(values, names=None, targets=None, origin="made"):
    values = np.array(values, dtype=float)
    names = names or [f"m{k}" for k in range(len(values))]
    return TransferTable(origin, tuple(names), tuple(targets or names), values)


def only(names, path, training_set):
    whole = read_transfers(path, training_set=training_set)
    return whole.without(set(whole.names) - set(names))


class TestPublished:
    """Figures that others published for Taskonomy, and what follows from them."""

    def test_16k_as_a_prediction_of_standard_over_17_tasks(self, published):
        got = document(evaluate(only(SIXTEEN, published, "16k"), only(SIXTEEN, published, "standard")))
        assert (got["targets"], got["sources"], got["relevant"]) == (17, 17, 5)
        assert got["spearman_with_self"] == pytest.approx(0.990484, abs=5e-7)
        assert got["spearman"] == pytest.approx(0.988581, abs=5e-7)
        assert got["random_precision"] == pytest.approx(5 / 16)
        assert list(got["precision_at"]) == [str(k) for k in range(1, 17)]
        assert got["precision_at"]["16"] == pytest.approx(5 / 16)
        assert got["recall_at"]["16"] == pytest.approx(1)
        # A fixed list alone is known to reach .47.
        assert got["fixed_list"]["spearman"] == pytest.approx(0.47, abs=0.005)

    def test_the_papers_protocol_has_18_targets_and_19_candidates(self, published):
        reference = only(PAPER, published, "16k")
        got = evaluate(reference, reference)
        assert (len(got.measured.targets), len(got.measured.sources)) == (18, 20)
        assert set(got.measured.targets) == set(PAPER) - {"colorization", "inpainting_whole"}
        assert got.scores.candidates.tolist() == [19] * 18
        assert got.random_precision == pytest.approx(5 / 19)
        assert document(got)["precision_at"]["6"] == pytest.approx(5 / 6)
        assert got.oracle.means()["precision"][5] == pytest.approx(5 / 6)

    def test_self_counted_in_is_higher_for_a_random_order(self, published):
        reference = only(SIXTEEN, published, "16k")
        rng = np.random.default_rng(0)
        guesses = []
        for _ in range(20):
            values = rng.uniform(size=(17, 17))
            np.fill_diagonal(values, 1)
            got = document(evaluate(table(values, SIXTEEN), reference))
            guesses.append((got["spearman"], got["spearman_with_self"], got["precision_at"]["5"]))
        # Known for 17 targets: 0, .16, .313.
        np.testing.assert_allclose(np.mean(guesses, axis=0), [0, 0.16, 0.313], atol=0.025)

    def test_standard_lacks_a_source_that_it_has_as_no_target(self, published):
        got = document(evaluate(only(PAPER, published, "16k"), only(PAPER, published, "standard")))
        assert "class_places" in got["ignored"]["affinity"]


def test_hand_computed_document():
    #            t=a            t=b         t=c
    reference = table([[1, 0.1, 0.3], [0.2, 1, 0.6], [0.4, 0.5, 1]], ["a", "b", "c"])
    predicted = table([[1, 0.7, 0.2], [0.7, 1, 0.1], [0.2, 0.1, 1]], ["zoo:a", "zoo:b", "zoo:c"])
    extra = table(np.pad(predicted.values, (0, 1)), ["zoo:a", "zoo:b", "zoo:c", "zoo:d"])
    got = document(evaluate(extra, reference, relevant=1))
    # a: ours b, c; measured c, b. b: ours a, c; measured c, a. c: ours a, b; measured b, a.
    assert got == {
        "targets": 3,
        "sources": 3,
        "relevant": 1,
        "spearman": -1.0,
        # Ranks of a: (3, 2, 1) and (3, 1, 2): .5; of b: (2, 3, 1) and (1, 3, 2): .5; of c the same.
        "spearman_with_self": pytest.approx(0.5),
        "precision_at": {"1": 0.0, "2": 0.5},
        "recall_at": {"1": 0.0, "2": 1.0},
        "random_precision": 0.5,
        # Relative ranks in the other columns. a's list, from b and c: b (1 + 2/3)/2, c (2/3 + 1)/2, a tie: b
        # first; b's, from a and c: a (1 + 1/3)/2, c (2/3 + 1)/2; c's, from a and b: a (1 + 1/3)/2, b the
        # same: a first. So c is found for b, and nothing for a and c, where ties have no Spearman.
        "fixed_list": {"spearman": 1.0, "precision_at": {"1": pytest.approx(1 / 3), "2": 0.5}},
        "per_target": {name: {"spearman": -1.0, "precision_at_5": None} for name in "abc"},
        "ignored": {"affinity": ["zoo:d"], "reference": []},
    }
    json.dumps(got, allow_nan=False)


@given(values=affinity_matrices(least=3, most=7))
def test_fixed_list_agrees_with_its_literal_twin(values):
    values = values.copy()
    values[0, 1] = np.nan
    np.testing.assert_allclose(fixed_list(values), literal.fixed_list(values.tolist()), atol=1e-12)


def test_a_fixed_list_never_sees_its_own_target():
    rng = np.random.default_rng(0)
    one = rng.normal(size=(6, 4))
    other = one.copy()
    other[:, 2] = rng.normal(size=6)
    np.testing.assert_array_equal(fixed_list(one)[:, 2], fixed_list(other)[:, 2])


@given(values=affinity_matrices(least=3, most=8), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_the_order_of_names_in_either_table_changes_nothing(values, seed):
    rng = np.random.default_rng(seed)
    reference = table(rng.normal(size=values.shape))
    predicted = table(values)
    order = [f"m{k}" for k in rng.permutation(len(values))]
    one = document(evaluate(predicted, reference))
    for other in (
        document(evaluate(predicted.select(order, order), reference)),
        document(evaluate(predicted, reference.select(order, order))),
    ):
        assert other.keys() == one.keys()
        assert other["spearman"] == pytest.approx(one["spearman"], abs=1e-12)
        assert other["precision_at"] == pytest.approx(one["precision_at"])
        assert other["fixed_list"]["precision_at"] == pytest.approx(one["fixed_list"]["precision_at"])
        assert other["per_target"].keys() == one["per_target"].keys()


def test_names_meet_by_part_and_by_task():
    reference = table(np.arange(16).reshape(4, 4), ["depth", "normal", "edge", "class"])
    predicted = table(np.arange(16).reshape(4, 4), ["mini:depth", "timm/normal", "hed", "resnet"])
    got = evaluate(predicted, reference, tasks={"hed": "edge", "resnet": "class"})
    assert got.ignored == {"affinity": (), "reference": ()}
    assert got.scores.means()["spearman"] == pytest.approx(1)
    left = evaluate(predicted, reference, tasks={"hed": "edge"})
    assert left.ignored == {"affinity": ("resnet",), "reference": ("class",)}


def test_sources_that_are_no_targets_and_pairs_that_were_not_measured():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(5, 2))
    values[4, 1] = np.nan
    reference = table(values, list("abcde"), ["a", "x"])
    predicted = table(rng.normal(size=(5, 2)), list("abcde"), ["a", "x"])
    got = evaluate(predicted, reference)
    assert got.scores.candidates.tolist() == [4, 4]
    assert np.isnan(got.scores.spearman_with_self[1])
    assert document(got)["per_target"]["x"]["precision_at_5"] is None
    assert document(got)["spearman_with_self"] == pytest.approx(got.scores.spearman_with_self[0])


def test_a_constant_prediction_has_no_spearman():
    got = document(evaluate(table(np.ones((4, 4))), table(np.random.default_rng(0).normal(size=(4, 4)))))
    assert got["spearman"] is None
    assert got["precision_at"]["3"] == 1


def test_noise_ceiling_is_the_second_reference_as_a_prediction():
    rng = np.random.default_rng(2)
    first, predicted = table(rng.normal(size=(6, 6))), table(rng.normal(size=(6, 6)))
    second = table(first.values + 0.1 * rng.normal(size=(6, 6)), origin="again")
    got = document(evaluate(predicted, first, noise_reference=second))
    assert got["noise_ceiling"]["spearman"] == pytest.approx(document(evaluate(second, first))["spearman"])
    elsewhere = table(np.ones((2, 2)), ["p", "q"], origin="elsewhere")
    with pytest.raises(InputError, match="elsewhere: shares no pair with made"):
        evaluate(predicted, first, noise_reference=elsewhere)


def test_against_compares_on_what_both_know():
    rng = np.random.default_rng(3)
    reference = table(rng.normal(size=(8, 8)))
    good = table(reference.values + 0.3 * rng.normal(size=(8, 8)), origin="good")
    bad = table(rng.normal(size=(8, 8)), origin="bad").without({"m7"})
    got = evaluate(good, reference, against=bad)
    alone = [
        document(evaluate(side.without({"m7"}), reference.without({"m7"})))["spearman"]
        for side in (good, bad)
    ]
    assert got.against["spearman"].mean == pytest.approx(alone[0] - alone[1])
    assert got.against["spearman"].low > 0
    assert got.against["spearman"].p < 0.05
    back = evaluate(bad, reference, against=good)
    assert back.against["spearman"].mean == pytest.approx(-got.against["spearman"].mean)
    assert set(document(got)["against"]["regret"]) == {"mean", "low", "high", "p"}


def test_details_hold_intervals_around_their_means():
    rng = np.random.default_rng(4)
    reference = table(rng.normal(size=(9, 9)))
    got = evaluate(table(reference.values + rng.normal(size=(9, 9))), reference)
    more, base = details(got), document(got)
    low, high = more["interval_95"]["spearman"]
    assert low < base["spearman"] < high
    low, high = more["interval_95"]["precision_at_5"]
    assert low <= base["precision_at"]["5"] <= high
    assert more["oracle"]["precision_at"]["5"] == 1
    assert more["per_target"]["m0"]["candidates"] == 8
    json.dumps(more, allow_nan=False)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["x", "y", "z"], r"left and right share 0 sources and 0 targets, too few .*first of left: x, y, z"),
        (["a", "y", "z"], "share 1 sources and 1 targets"),
        (["a", "b", "z"], "share 2 sources and 2 targets"),
    ],
)
def test_tables_that_do_not_meet_are_refused(names, message):
    with pytest.raises(InputError, match=message) as caught:
        evaluate(
            table(np.ones((3, 3)), names, origin="left"), table(np.ones((3, 3)), list("abc"), origin="right")
        )
    assert caught.value.exit_status == 2


def test_at_least_one_relevant_source():
    with pytest.raises(InputError, match="relevant 0"):
        evaluate(table(np.ones((3, 3))), table(np.ones((3, 3))), relevant=0)
