from itertools import pairwise

import dendropy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import squareform

from modelatlas.errors import InputError
from modelatlas.space import LINKAGES, Affinity, tree
from oracles import space as literal
from strategies import affinity_matrices, distinct_names


def named(values):
    return Affinity(tuple(f"m{i}" for i in range(len(values))), values)


def parsed(newick):
    """By DendroPy, which nobody here wrote; its defaults turn unquoted underscores into blanks."""
    return dendropy.Tree.get(data=newick, schema="newick")


def path_lengths(newick, models):
    other = parsed(newick)
    distance = other.phylogenetic_distance_matrix()
    taxa = {taxon.label: taxon for taxon in other.taxon_namespace}
    return np.array([[distance(taxa[a], taxa[b]) for b in models] for a in models])


@given(affinity_matrices(), st.sampled_from(LINKAGES))
@settings(max_examples=40)
def test_path_between_leaves_is_their_cophenetic_distance(values, linkage):
    t = tree(named(values), linkage=linkage)
    np.testing.assert_allclose(path_lengths(t.newick(), t.models), t.cophenetic(), atol=1e-12)


@given(affinity_matrices(), st.sampled_from(["single", "complete", "average"]))
@settings(max_examples=40)
def test_merges_are_those_of_the_definition(values, linkage):
    got = tree(named(values), linkage=linkage).linkage[:, 2]
    np.testing.assert_allclose(got[0], min(literal.merge_heights(values, linkage=linkage)), atol=1e-12)
    if (
        len(np.unique(np.round(values, 9))) > len(values) * (len(values) - 1) // 2
    ):  # ties may be taken either way
        np.testing.assert_allclose(got, literal.merge_heights(values, linkage=linkage), atol=1e-12)


@given(affinity_matrices(), st.sampled_from(LINKAGES))
def test_is_binary_with_falling_heights_towards_the_leaves(values, linkage):
    t = tree(named(values), linkage=linkage)
    assert t.linkage.shape == (len(values) - 1, 4)
    assert sorted(t.order) == sorted(t.models)
    assert all(edge.length >= 0 for edge in parsed(t.newick()).edges() if edge.length is not None)
    assert all(len(node.child_nodes()) == 2 for node in parsed(t.newick()).internal_nodes())


@given(st.integers(2, 6).flatmap(distinct_names))
def test_names_come_back_from_another_parser(models):
    values = np.eye(len(models))
    t = tree(Affinity(tuple(models), values))
    leaves = [leaf.taxon.label for leaf in parsed(t.newick()).leaf_node_iter()]
    assert sorted(leaves) == sorted(models)


@given(affinity_matrices(), st.integers(0, 2**32 - 1))
def test_order_of_models_does_not_change_the_single_linkage_tree(values, seed):
    order = np.random.default_rng(seed).permutation(len(values))
    one = tree(named(values)).cophenetic()
    other = tree(named(values[np.ix_(order, order)])).cophenetic()
    np.testing.assert_allclose(one[np.ix_(order, order)], other, atol=1e-12)


@given(affinity_matrices(least=2, most=7), st.sampled_from(LINKAGES))
@settings(max_examples=20)
def test_leaf_order_is_the_best_of_all_flips(values, linkage):
    t = tree(named(values), linkage=linkage)
    distance = [[np.linalg.norm(a - b) for b in values] for a in values]
    orders = [[[i]] for i in range(len(values))]  # of each node, every order that flips can give
    for left, right, _, _ in t.linkage:
        a, b = orders[int(left)], orders[int(right)]
        orders.append([order for x in a for y in b for order in (x + y, y + x)])

    def length(order):
        return sum(distance[i][j] for i, j in pairwise(order))

    order = [t.models.index(m) for m in t.order]
    assert order in orders[-1]
    assert length(order) == pytest.approx(min(map(length, orders[-1])), abs=1e-9)
    assert order[0] < order[-1]


def test_hand_computed_newick():
    # Rows (1, .5, 0), (.5, 1, 0), (0, 0, 1): d(a, b) = sqrt(.5), d(a, c) = d(b, c) = sqrt(1 + .25 + 1) = 1.5.
    t = tree(Affinity(("a", "b", "c d"), np.array([[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1.0]])))
    np.testing.assert_allclose(squareform(t.cophenetic()), [0.5**0.5, 1.5, 1.5])
    got = parsed(t.newick())
    lengths = {leaf.taxon.label: leaf.edge.length for leaf in got.leaf_node_iter()}
    assert lengths == pytest.approx({"a": 0.5**0.5 / 2, "b": 0.5**0.5 / 2, "c d": 0.75})
    assert "'c d':0.75" in t.newick()
    assert t.newick().endswith(";")
    assert t.order[1] != "c d"


def test_a_chain_of_a_thousand_models_needs_no_recursion():
    values = np.linspace(0, 1, 1000)[:, None] ** 2 * np.ones(1000)
    assert tree(named(values), linkage="single").newick().count(",") == 999


def test_what_cannot_be_a_tree_is_refused():
    with pytest.raises(InputError, match="at least two models, not 1"):
        tree(Affinity(("a",), np.eye(1)))
    with pytest.raises(InputError, match="unknown linkage 'median': take one of single, complete"):
        tree(named(np.eye(3)), linkage="median")
