"""How alike two trees over the same models are, and how pure the groups are that a tree makes.

- cophenetic correlation: Pearson, over pairs, between the distances at which the pair is merged (Sokal &
  Rohlf 1962); Baker's gamma: the same by rank (Baker 1974; equal merge distances share a rank);
- Robinson-Foulds: clades of one tree that the other lacks, both ways (Robinson & Foulds 1981, for rooted
  trees), at most 2 (n - 2);
- purity: cut the tree into as many clusters as there are groups; share of models that belong to the most
  frequent group of their cluster (Manning et al. 2008, 16.3).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster
from scipy.spatial.distance import squareform

from modelatlas.evaluation.metrics import spearman
from modelatlas.space import Tree

__all__ = ["TreeAgreement", "clades", "compare_trees", "group_purity", "pearson"]


@dataclass(frozen=True)
class TreeAgreement:
    """Agreement of two trees; NaN where undefined.

    Attributes
    ----------
    cophenetic_correlation, bakers_gamma
        In [-1, 1].
    robinson_foulds
        Number of clades found in one tree only.
    robinson_foulds_share
        The same as a share of its maximum, in [0, 1].
    """

    cophenetic_correlation: float
    bakers_gamma: float
    robinson_foulds: int
    robinson_foulds_share: float


def compare_trees(first: Tree, second: Tree) -> TreeAgreement:
    """Compare two trees over the same models, in whatever order each has them."""
    order = [second.models.index(name) for name in first.models]
    a = squareform(first.cophenetic(), checks=False)
    b = squareform(second.cophenetic()[np.ix_(order, order)], checks=False)
    differing, most = len(clades(first) ^ clades(second)), 2 * (len(first.models) - 2)
    # Merge distances that differ by rounding alone are one rank.
    gamma = spearman(*(np.round(distance / max(distance.max(), 1e-300), 12) for distance in (a, b)))
    return TreeAgreement(pearson(a, b), gamma, differing, differing / most if most else float("nan"))


def clades(tree: Tree) -> set[frozenset[str]]:
    """Give the sets of models below an inner node, without the root."""
    below = [frozenset([name]) for name in tree.models]
    for left, right in tree.linkage[:, :2].astype(int):
        below.append(below[left] | below[right])
    return set(below[len(tree.models) : -1])


def group_purity(tree: Tree, groups: Mapping[str, str]) -> float:
    """Purity of the clusters that the tree makes of the models that carry a group; NaN where none does.

    Parameters
    ----------
    groups
        Group of some of the models.

    Returns
    -------
        In (0, 1]; with one group alone always 1.
    """
    kinds = len({groups[name] for name in tree.models if name in groups})
    if not kinds:
        return float("nan")
    cluster = fcluster(tree.linkage, t=kinds, criterion="maxclust")
    members: dict[int, Counter[str]] = {}
    for name, number in zip(tree.models, cluster, strict=True):
        if name in groups:
            members.setdefault(int(number), Counter())[groups[name]] += 1
    return sum(max(count.values()) for count in members.values()) / sum(
        count.total() for count in members.values()
    )


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation; NaN where a side is constant or too short."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.clip(np.corrcoef(a, b)[0, 1], -1, 1))
