import itertools
import json
from dataclasses import replace

import dendropy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.cluster.hierarchy import cut_tree
from scipy.spatial.distance import squareform
from sklearn.metrics.cluster import contingency_matrix

from modelatlas.errors import InputError
from modelatlas.evaluation import TransferTable, compare, mantel
from modelatlas.evaluation.trees import clades, compare_trees, group_purity
from modelatlas.space import LINKAGES, Affinity, tree
from oracles import evaluation as literal
from strategies import affinity_matrices

SEEDS = st.integers(0, 2**32 - 1)


def table(values, names=None, origin="made"):
    names = tuple(names or (f"m{k}" for k in range(len(values))))
    return TransferTable(origin, names, names, np.array(values, dtype=float))


def noisy(values, seed, size=0.3):
    noise = np.random.default_rng(seed).normal(scale=size, size=values.shape)
    return values + (noise + noise.T)


def trees(first, second, linkage="average"):
    names = tuple(f"m{k}" for k in range(len(first)))
    return tree(Affinity(names, first.copy()), linkage=linkage), tree(
        Affinity(names, second.copy()), linkage=linkage
    )


@given(affinity_matrices(least=4, most=8), SEEDS)
@settings(max_examples=30)
def test_correlations_are_scipys_over_unordered_pairs(values, seed):
    values = noisy(values, seed + 1)  # no exact ties
    other = noisy(values, seed)
    got = compare(table(values), table(other), permutations=10)
    pairs = np.triu_indices(len(values), 1)
    assert got.pearson == pytest.approx(stats.pearsonr(values[pairs], other[pairs]).statistic)
    assert got.spearman == pytest.approx(stats.spearmanr(values[pairs], other[pairs]).statistic)


@given(affinity_matrices(least=3, most=5), SEEDS)
@settings(max_examples=15)
def test_mantel_approaches_the_exact_p_of_all_orders(values, seed):
    other = noisy(values, seed)
    got = mantel(values, other, permutations=4000)
    if np.isnan(got):
        assert np.ptp(values[~np.eye(len(values), dtype=bool)]) == 0
        return
    # Five binomial standard errors, and the observed order that is counted once.
    assert got == pytest.approx(literal.mantel(values, other), abs=5 * 0.5 / np.sqrt(4000))


def test_mantel_is_level_and_has_power():
    rng = np.random.default_rng(0)
    null = [mantel(*rng.normal(size=(2, 8, 8)), permutations=199, seed=k) for k in range(200)]
    assert 0.01 <= np.mean(np.array(null) <= 0.05) <= 0.1
    first = rng.normal(size=(8, 8))
    assert mantel(first, first, permutations=999) <= 0.002


@given(affinity_matrices(least=4, most=8), SEEDS)
@settings(max_examples=30)
def test_blocks_of_permutations_change_nothing(values, seed):
    other = noisy(values, seed)
    with pytest.MonkeyPatch.context() as patch:
        whole = mantel(values, other, permutations=100)
        patch.setattr("modelatlas.evaluation.comparison.CHUNK_CELLS", 7 * len(values) ** 2)
        assert mantel(values, other, permutations=100) == pytest.approx(whole, nan_ok=True)


@given(affinity_matrices(least=3, most=9), SEEDS)
@settings(max_examples=30)
def test_top_sources_agree_as_counted(values, seed):
    other = noisy(values, seed)
    got = compare(table(values), table(other), permutations=10).top_sources
    names = [f"m{k}" for k in range(len(values))]
    for k, share in enumerate(got, start=1):
        hits = 0
        for target in range(len(names)):
            sides = [
                [name for name in literal.order(side[:, target], names) if name != names[target]][:k]
                for side in (values, other)
            ]
            hits += len(set(sides[0]) & set(sides[1]))
        assert share == pytest.approx(hits / k / len(names))
    assert got[-1] == 1


@given(affinity_matrices(least=3, most=10), SEEDS, st.sampled_from(LINKAGES))
@settings(max_examples=40)
def test_robinson_foulds_is_dendropys(values, seed, linkage):
    first, second = trees(values, noisy(values, seed), linkage)
    taxa = dendropy.TaxonNamespace()
    parsed = [
        dendropy.Tree.get(data=t.newick(), schema="newick", taxon_namespace=taxa, rooting="force-rooted")
        for t in (first, second)
    ]
    got = compare_trees(first, second)
    assert got.robinson_foulds == dendropy.calculate.treecompare.symmetric_difference(*parsed)
    assert 0 <= got.robinson_foulds_share <= 1


@given(affinity_matrices(least=3, most=8), SEEDS)
@settings(max_examples=30)
def test_cophenetic_correlation_and_bakers_gamma(values, seed):
    first, second = trees(noisy(values, seed + 1), noisy(values, seed))  # no exact ties
    got = compare_trees(first, second)
    a, b = (squareform(t.cophenetic(), checks=False) for t in (first, second))
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        assert np.isnan(got.cophenetic_correlation)
        return
    assert got.cophenetic_correlation == pytest.approx(stats.pearsonr(a, b).statistic)
    indices = []
    for t in (first, second):
        cuts = cut_tree(t.linkage)  # column c: the clusters after c merges
        leaves = len(t.models)
        indices.append(literal.bakers_gamma_indices(lambda k, c=cuts, n=leaves: c[:, n - k], leaves))
    pairs = list(itertools.combinations(range(len(values)), 2))
    want = stats.spearmanr(*([index[pair] for pair in pairs] for index in indices)).statistic
    assert got.bakers_gamma == pytest.approx(want)


def test_clades_of_a_small_tree():
    t = tree(
        Affinity(tuple("abcd"), np.array([[1, 0.9, 0, 0], [0.9, 1, 0, 0], [0, 0, 1, 0.8], [0, 0, 0.8, 1]]))
    )
    assert clades(t) == {frozenset("ab"), frozenset("cd")}


@given(affinity_matrices(least=2, most=12), SEEDS)
def test_purity_is_that_of_the_contingency_table(values, seed):
    (t, _), rng = trees(values, values), np.random.default_rng(seed)
    groups = dict(zip(t.models, rng.choice(["2d", "3d", "semantic"], len(t.models)), strict=True))
    kinds = len(set(groups.values()))
    clusters = cut_tree(t.linkage, n_clusters=kinds)[:, 0]
    got = group_purity(t, groups)
    if len(np.unique(t.linkage[:, 2])) == len(t.linkage):  # equal merge distances may be cut either way
        counts = contingency_matrix([groups[name] for name in t.models], clusters)
        assert got == pytest.approx(counts.max(axis=0).sum() / counts.sum())
    assert 0 < got <= 1


def test_purity_of_no_groups_is_undefined_and_of_one_group_whole():
    t, _ = trees(np.eye(3), np.eye(3))
    assert np.isnan(group_purity(t, {}))
    assert group_purity(t, dict.fromkeys(t.models, "2d")) == 1


@given(affinity_matrices(least=3, most=8))
@settings(max_examples=30)
def test_a_matrix_agrees_with_itself(values):
    values = noisy(values, 1)
    got = compare(table(values), table(values), permutations=99).document()
    assert got["pearson"] == pytest.approx(1)
    assert got["spearman"] == pytest.approx(1)
    assert set(got["top_sources"].values()) == {1.0}
    assert got["trees"]["robinson_foulds"] == 0
    assert got["only_in"] == {"first": [], "second": []}
    json.dumps(got, allow_nan=False)


@given(affinity_matrices(least=4, most=8), SEEDS)
@settings(max_examples=30)
def test_order_and_names_of_the_second_do_not_matter(values, seed):
    values, names = noisy(values, 1), [f"m{k}" for k in range(len(values))]
    other = table(noisy(values, seed))
    order = [names[k] for k in np.random.default_rng(seed).permutation(len(names))]
    moved = other.select(order, order)
    renamed = replace(
        moved, sources=tuple(f"zoo:{n}" for n in order), targets=tuple(f"zoo:{n}" for n in order)
    )
    one = compare(table(values), other, permutations=50).document()
    for second in (moved, renamed):
        two = compare(table(values), second, permutations=50).document()
        assert two["mantel"] == one["mantel"]
        assert two["spearman"] == pytest.approx(one["spearman"])
        assert two["trees"]["robinson_foulds"] == one["trees"]["robinson_foulds"]


def test_document_of_two_atlases_with_groups():
    rng = np.random.default_rng(5)
    vectors = np.repeat([[3.0, 0], [0, 3]], 3, axis=0) + rng.normal(size=(6, 2))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    values = vectors @ vectors.T
    groups = dict(zip([f"m{k}" for k in range(6)], ["2d"] * 3 + ["3d"] * 3, strict=True))
    extra = table(np.pad(values, (0, 1)), [*groups, "more"])
    got = compare(table(values), extra, groups=groups | {"unknown": "3d"}, permutations=999).document()
    assert (got["models"], got["pairs"]) == (6, 15)
    assert got["group_purity"] == {"first": 1.0, "second": 1.0}
    assert got["only_in"] == {"first": [], "second": ["more"]}
    assert got["mantel"]["pearson_p"] < 0.05
    assert compare(table(values), extra, permutations=9).document()["group_purity"] is None
    other = TransferTable("b", *[tuple(f"zoo:{name}" for name in groups)] * 2, values)
    tags = {f"zoo:{name}": group for name, group in groups.items()}
    assert compare(table(values), other, groups=tags, permutations=9).purity == (1, 1)


def test_what_cannot_be_compared_is_refused():
    values = np.eye(3)
    with pytest.raises(InputError, match="left and right share 2 models, too few to compare: at least three"):
        compare(table(values, ["a", "b", "c"], "left"), table(values, ["a", "b", "x"], "right"))
    holey = values.copy()
    holey[0, 1] = np.nan
    with pytest.raises(InputError, match="made: no affinity of 'm0' with 'm1'"):
        compare(table(holey), table(values))


def test_missing_diagonals_are_no_obstacle():
    values = noisy(np.eye(4), 0)
    holey = values.copy()
    np.fill_diagonal(holey, np.nan)
    assert compare(table(holey), table(values), permutations=9).pearson == pytest.approx(1)
