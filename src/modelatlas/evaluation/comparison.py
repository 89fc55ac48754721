"""How alike two matrices of affinities over the same models are: values, rankings, trees.

Pairs are all ordered pairs of two different models; for symmetric matrices every correlation is then that
of the unordered pairs. Pairs of one model are no independent observations, so significance comes from the
Mantel test (Mantel 1967): permute the models of one matrix, rows and columns together, and count how often
the correlation is at least the observed one; p = (1 + count) / (1 + permutations), one-sided.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from jaxtyping import Float64

from modelatlas.errors import InputError
from modelatlas.evaluation.metrics import average_ranks, number_or_null, spearman
from modelatlas.evaluation.names import match_names
from modelatlas.evaluation.transfers import TransferTable
from modelatlas.evaluation.trees import TreeAgreement, compare_trees, group_purity, pearson
from modelatlas.space import Affinity, Tree, rank, tree

__all__ = ["PERMUTATIONS", "Comparison", "compare", "mantel"]

PERMUTATIONS: Final = 10_000
CHUNK_CELLS: Final = 1 << 22


@dataclass(frozen=True, eq=False)
class Comparison:
    """Agreement of two matrices over their common models; NaN where undefined.

    Attributes
    ----------
    first, second
        The matrices over the common models, in the order of the first, with its names.
    pearson, spearman
        Correlation over pairs, in [-1, 1].
    mantel_pearson_p, mantel_spearman_p
        One-sided p of either correlation, in (0, 1].
    permutations
        Of the Mantel test.
    top_sources
        For K = 1, 2, ...: share of the first's best K sources that are among the second's, averaged over
        targets.
    trees
        Agreement of the trees.
    first_tree, second_tree
        The trees, by one linkage.
    purity
        Purity of the groups in the first and in the second tree; None where no model carries a group.
    only_in
        Names that the other side lacks, of the first and of the second.
    """

    first: Affinity
    second: Affinity
    pearson: float
    spearman: float
    mantel_pearson_p: float
    mantel_spearman_p: float
    permutations: int
    top_sources: tuple[float, ...]
    trees: TreeAgreement
    first_tree: Tree
    second_tree: Tree
    purity: tuple[float, float] | None
    only_in: tuple[tuple[str, ...], tuple[str, ...]]

    def document(self) -> dict[str, Any]:
        """Give the JSON document; what is undefined is null."""
        models = len(self.first.models)
        return {
            "models": models,
            "pairs": models * (models - 1) // 2,
            "pearson": number_or_null(self.pearson),
            "spearman": number_or_null(self.spearman),
            "mantel": {
                "permutations": self.permutations,
                "pearson_p": number_or_null(self.mantel_pearson_p),
                "spearman_p": number_or_null(self.mantel_spearman_p),
            },
            "top_sources": {str(k): value for k, value in enumerate(self.top_sources, start=1)},
            "trees": {
                "linkage": self.first_tree.method,
                "cophenetic_correlation": number_or_null(self.trees.cophenetic_correlation),
                "bakers_gamma": number_or_null(self.trees.bakers_gamma),
                "robinson_foulds": self.trees.robinson_foulds,
                "robinson_foulds_share": number_or_null(self.trees.robinson_foulds_share),
            },
            "group_purity": None
            if self.purity is None
            else dict(zip(("first", "second"), map(number_or_null, self.purity), strict=True)),
            "only_in": dict(zip(("first", "second"), map(list, self.only_in), strict=True)),
        }


def compare(
    first: TransferTable,
    second: TransferTable,
    *,
    groups: Mapping[str, str] | None = None,
    tasks: Mapping[str, str] | None = None,
    linkage: str = "single",
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Comparison:
    """Compare two matrices over the models that are source and target in both.

    Parameters
    ----------
    groups
        Group of some models, by the names of either side, for the purity.
    tasks
        Task tag of some models of `second`, by which their names may meet.
    linkage
        Of both trees.
    permutations, seed
        Of the Mantel test.

    Raises
    ------
    InputError
        Fewer than three common models, a common pair without a value, or two models that claim one name.
    """
    names = match_names(second.names, first.names, tasks=tasks)
    theirs = second.renamed(names)
    sides = [set(table.sources) & set(table.targets) for table in (first, theirs)]
    models = [name for name in first.sources if name in sides[0] & sides[1]]
    if len(models) < 3:
        raise InputError(
            f"{first.origin} and {second.origin} share {len(models)} models, too few to compare: "
            "at least three names must be equal, or end in the same part after ':' or '/'"
        )
    a, b = (_square(table, models) for table in (first, theirs))
    trees = [tree(matrix, linkage=linkage) for matrix in (a, b)]
    off = ~np.eye(len(models), dtype=bool)
    ranked = [replace(matrix, values=_ranks(matrix.values)) for matrix in (a, b)]
    partner = {claim: name for name, claim in names.items()}
    tags = {name: (groups or {}).get(name) or (groups or {}).get(partner[name]) for name in models}
    tagged = {name: group for name, group in tags.items() if group}
    return Comparison(
        first=a,
        second=b,
        pearson=pearson(a.values[off], b.values[off]),
        spearman=spearman(a.values[off], b.values[off]),
        mantel_pearson_p=mantel(a.values, b.values, permutations=permutations, seed=seed),
        mantel_spearman_p=mantel(ranked[0].values, ranked[1].values, permutations=permutations, seed=seed),
        permutations=permutations,
        top_sources=_top_agreement(a, b),
        trees=compare_trees(*trees),
        first_tree=trees[0],
        second_tree=trees[1],
        purity=(group_purity(trees[0], tagged), group_purity(trees[1], tagged)) if tagged else None,
        only_in=(
            tuple(name for name in first.names if name not in models),
            tuple(name for name in second.names if names.get(name) not in models),
        ),
    )


def mantel(
    first: Float64[np.ndarray, "model model"],
    second: Float64[np.ndarray, "model model"],
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> float:
    """P of the Mantel test for Pearson's correlation over ordered pairs; diagonals play no part.

    Returns
    -------
        In (0, 1]; NaN where a matrix is constant off its diagonal.
    """
    models = len(first)
    off = ~np.eye(models, dtype=bool)
    if np.ptp(first[off]) == 0 or np.ptp(second[off]) == 0:
        return float("nan")
    # Means and variances over pairs do not change when models are permuted: the sum of products decides.
    a, b = (np.where(off, matrix - matrix[off].mean(), 0) for matrix in (first, second))
    observed = float((a * b).sum())
    limit = observed - 1e-12 * float(np.sqrt((a * a).sum() * (b * b).sum()))
    rng = np.random.default_rng(seed)
    orders = rng.permuted(np.tile(np.arange(models), (permutations, 1)), axis=1)
    step = max(1, CHUNK_CELLS // models**2)
    count = 0
    for start in range(0, permutations, step):
        order = orders[start : start + step]
        moved = b[order[:, :, None], order[:, None, :]].reshape(len(order), -1)
        count += int((moved @ a.ravel() >= limit).sum())
    return (1 + count) / (1 + permutations)


def _square(table: TransferTable, models: list[str]) -> Affinity:
    values = np.array(table.select(models, models).values)
    missing = np.argwhere(np.isnan(values) & ~np.eye(len(models), dtype=bool))
    if len(missing):
        source, target = (models[k] for k in missing[0])
        raise InputError(
            f"{table.origin}: no affinity of {source!r} with {target!r}: add it, or leave one of them out"
        )
    diagonal = values.diagonal()
    np.fill_diagonal(values, np.where(np.isnan(diagonal), np.nanmax(values), diagonal))
    return Affinity(tuple(models), values)


def _ranks(values: Float64[np.ndarray, "model model"]) -> Float64[np.ndarray, "model model"]:
    off = ~np.eye(len(values), dtype=bool)
    ranks = np.zeros_like(values)
    ranks[off] = average_ranks(values[off])
    return ranks


def _top_agreement(first: Affinity, second: Affinity) -> tuple[float, ...]:
    common = np.zeros(len(first.models) - 1)
    for target in first.models:
        ours, theirs = (
            {source: place for place, source in enumerate(rank(matrix, target).source)}
            for matrix in (first, second)
        )
        # A source is among the best K of both from K = its worse place on.
        common += np.cumsum(
            np.bincount([max(place, theirs[source]) for source, place in ours.items()], minlength=len(common))
        )
    k = np.arange(1, len(common) + 1)
    return tuple(float(share) for share in common / k / len(first.models))
