"""How well one ranking of sources agrees with measured transfers, target by target.

For a target with candidates C (all sources with both values known, the target itself left out) and the R =
5 best measured ones as relevant,

    P@K = hits among our first K / K,   R@K = hits / R,   regret = measured(best) - measured(our first).

Spearman and Kendall (tau-b) run over C; `spearman_with_self` over C and the target itself, with both
matrices' own values. Ties keep average ranks in correlations and are broken by name in rankings. An
undefined value is NaN.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64, Int
from scipy import stats

__all__ = [
    "RELEVANT",
    "Scores",
    "average_ranks",
    "mean_defined",
    "number_or_null",
    "oracle_scores",
    "score",
    "spearman",
]

RELEVANT: Final = 5
"""Sources that count as relevant for a target, as in the paper."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Agreement of one prediction with a reference, one entry a target; NaN where undefined.

    Attributes
    ----------
    candidates
        Sources that were ranked.
    spearman, spearman_with_self, kendall
        In [-1, 1]; the target itself left out, counted in, left out.
    precision, recall
        In [0, 1], one column for K = 1, 2, ...; NaN beyond a target's candidates.
    best_rank
        Place, from 1, that our ranking gives to the best measured source.
    regret
        Measured affinity lost by taking our first source, in units of the reference, at least 0.
    """

    candidates: Int[np.ndarray, " target"]
    spearman: Float64[np.ndarray, " target"]
    spearman_with_self: Float64[np.ndarray, " target"]
    kendall: Float64[np.ndarray, " target"]
    precision: Float64[np.ndarray, "target k"]
    recall: Float64[np.ndarray, "target k"]
    best_rank: Float64[np.ndarray, " target"]
    regret: Float64[np.ndarray, " target"]

    def means(self) -> dict[str, Float64[np.ndarray, "*quantity"]]:
        """Each quantity's mean over the targets for which it is defined."""
        return {
            field.name: mean_defined(getattr(self, field.name).astype(np.float64)) for field in fields(self)
        }


def mean_defined(values: Float64[np.ndarray, "target *quantity"]) -> Float64[np.ndarray, "*quantity"]:
    """Mean over the first axis of what is not NaN; NaN where nothing is left."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, values, 0).sum(axis=0) / known.sum(axis=0))


def number_or_null(value: float | Float64[np.ndarray, ""]) -> float | None:
    """As JSON has it: None where it is not finite."""
    return float(value) if np.isfinite(value) else None


def score(
    predicted: Float64[np.ndarray, "source target"],
    measured: Float64[np.ndarray, "source target"],
    *,
    sources: Sequence[str],
    targets: Sequence[str],
    relevant: int = RELEVANT,
) -> Scores:
    """Compare two tables with the same rows and columns; NaN where a pair is not known.

    Parameters
    ----------
    predicted, measured
        Higher is better; the scales need not agree.
    sources, targets
        Names of rows and columns; a target with the name of a source is that source.
    relevant
        How many of the best measured sources count as relevant.
    """
    place = {name: row for row, name in enumerate(sources)}
    alphabet = np.argsort(np.argsort(np.array(sources, dtype=object)))
    columns = []
    for column, target in enumerate(targets):
        known = ~(np.isnan(predicted[:, column]) | np.isnan(measured[:, column]))
        columns.append(
            _score_target(
                predicted[:, column], measured[:, column], known, place.get(target), alphabet, relevant
            )
        )
    return Scores(*(np.array(part) for part in zip(*columns, strict=True)))


def oracle_scores(scores: Scores, *, relevant: int = RELEVANT) -> Scores:
    """Scores that a ranking by the reference itself would get where `scores` were taken, in closed form."""
    k = np.arange(1, scores.precision.shape[1] + 1)
    possible = np.minimum(relevant, scores.candidates)[:, None]
    hits = np.where(k <= scores.candidates[:, None], np.minimum(k, possible), np.nan)
    best = np.where(scores.candidates > 0, 1.0, np.nan)
    return Scores(
        candidates=scores.candidates,
        spearman=np.where(np.isnan(scores.spearman), np.nan, 1.0),
        spearman_with_self=np.where(np.isnan(scores.spearman_with_self), np.nan, 1.0),
        kendall=np.where(np.isnan(scores.kendall), np.nan, 1.0),
        precision=hits / k,
        recall=hits / np.maximum(possible, 1),
        best_rank=best,
        regret=best - 1,
    )


def _score_target(
    predicted: Float64[np.ndarray, " source"],
    measured: Float64[np.ndarray, " source"],
    known: Bool[np.ndarray, " source"],
    own: int | None,
    alphabet: Int[np.ndarray, " source"],
    relevant: int,
) -> tuple[object, ...]:
    with_self = known.copy()
    known = known.copy()
    if own is not None:
        known[own] = False
    candidates, longest = int(known.sum()), len(known)
    ours, theirs = (_ranking(values, known, alphabet) for values in (predicted, measured))
    hits = np.cumsum(np.isin(ours, theirs[:relevant]))
    k = np.arange(1, candidates + 1)
    precision, recall = np.full(longest, np.nan), np.full(longest, np.nan)
    precision[:candidates] = hits / k
    recall[:candidates] = hits / max(1, min(relevant, candidates))
    return (
        candidates,
        spearman(predicted[known], measured[known]),
        spearman(predicted[with_self], measured[with_self]) if own is not None and with_self[own] else np.nan,
        _kendall(predicted[known], measured[known]),
        precision,
        recall,
        float(np.flatnonzero(ours == theirs[0])[0] + 1) if candidates else np.nan,
        float(measured[theirs[0]] - measured[ours[0]]) if candidates else np.nan,
    )


def _ranking(
    values: Float64[np.ndarray, " source"],
    known: Bool[np.ndarray, " source"],
    alphabet: Int[np.ndarray, " source"],
) -> Int[np.ndarray, " candidate"]:
    """Rows that are known, by falling value, ties by name."""
    rows = np.flatnonzero(known)
    return np.asarray(rows[np.lexsort((alphabet[rows], -values[rows]))])


def spearman(a: Float64[np.ndarray, " pair"], b: Float64[np.ndarray, " pair"]) -> float:
    """Spearman's rank correlation with average ranks for ties; NaN where a side is constant or too short."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    ranks = np.stack([average_ranks(a), average_ranks(b)]) - (len(a) + 1) / 2
    return float(np.clip(ranks[0] @ ranks[1] / np.sqrt((ranks[0] @ ranks[0]) * (ranks[1] @ ranks[1])), -1, 1))


def average_ranks(values: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Ranks from 1, the smallest first; ties share the average of their ranks."""
    order = np.argsort(values)
    ordered = values[order]
    if (ordered[1:] == ordered[:-1]).any():
        return np.asarray(stats.rankdata(values))
    ranks = np.empty(len(values))  # without ties: a third of the time
    ranks[order] = np.arange(1, len(values) + 1)
    return ranks


# Without SciPy's wrapper for axes and missing values, which takes two thirds of the time.
_kendalltau = inspect.unwrap(stats.kendalltau)


def _kendall(a: Float64[np.ndarray, " pair"], b: Float64[np.ndarray, " pair"]) -> float:
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(_kendalltau(a, b).statistic)
