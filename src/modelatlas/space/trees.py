"""The task-similarity tree: agglomerative clustering of the rows of an affinity matrix.

Euclidean distance between rows, single linkage and optimal leaf order as in the authors' code; other
linkages are a choice. Strictly binary, n - 1 inner nodes. In Newick a node's height is half its merge
distance, so that the path between two leaves is as long as their cophenetic distance.
"""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist, squareform

from modelatlas.errors import InputError
from modelatlas.space.leaf_order import order_leaves
from modelatlas.space.matrix import Affinity

__all__ = ["LINKAGES", "Tree", "newick_label", "tree"]

# Without centroid and median: their merge distances can fall, and such a tree has no heights.
LINKAGES: Final = ("single", "complete", "average", "weighted", "ward")


@dataclass(frozen=True, eq=False)
class Tree:
    """A rooted binary tree over at least two models.

    Attributes
    ----------
    models
        Names of the leaves, numbered as in `linkage`.
    linkage
        SciPy's form: row k merges nodes 0 and 1 at distance 2 into node n + k, which has 3 leaves.
    method
        Name of the linkage, one of `LINKAGES`.
    """

    models: tuple[str, ...]
    linkage: Float64[np.ndarray, "inner 4"]
    method: str

    @property
    def order(self) -> tuple[str, ...]:
        """Leaves from left to right, neighbours as alike as the tree allows."""
        return tuple(self.models[i] for i in hierarchy.leaves_list(self.linkage))

    def cophenetic(self) -> Float64[np.ndarray, "model model"]:
        """Distance at which each pair of models is first merged; symmetric, zero diagonal, `models` order."""
        return np.asarray(squareform(hierarchy.cophenet(self.linkage)))

    def newick(self) -> str:
        """In Newick, names quoted where needed, every branch with its length, to full precision."""
        leaves = len(self.models)
        text = [newick_label(name) for name in self.models]
        heights = np.concatenate([np.zeros(leaves), self.linkage[:, 2] / 2])
        for left, right, distance, _ in self.linkage:  # no recursion: single linkage makes chains
            branches = (f"{text[int(k)]}:{float(distance / 2 - heights[int(k)])!r}" for k in (left, right))
            text.append(f"({','.join(branches)})")
        return text[-1] + ";"


def newick_label(name: str) -> str:
    """Quote a name as Newick asks for, unless it is of letters, digits, dot and hyphen alone.

    An underscore is quoted too: unquoted it means a blank.
    """
    return name if re.fullmatch(r"[A-Za-z0-9.-]+", name) else "'" + name.replace("'", "''") + "'"


def tree(affinity: Affinity, *, linkage: str = "single") -> Tree:
    """Cluster the rows of an affinity matrix.

    Parameters
    ----------
    affinity
        Of at least two models.
    linkage
        One of `LINKAGES`.

    Raises
    ------
    InputError
        An unknown linkage, or fewer than two models.
    """
    if linkage not in LINKAGES:
        raise InputError(f"unknown linkage {linkage!r}: take one of {', '.join(LINKAGES)}")
    if len(affinity.models) < 2:
        raise InputError(f"a tree needs at least two models, not {len(affinity.models)}: chart more of them")
    distances = pdist(affinity.values)
    merges = hierarchy.linkage(distances, method=linkage)
    return Tree(affinity.models, order_leaves(merges, squareform(distances)), linkage)
