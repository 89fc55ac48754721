"""A predicted table of affinities against measured transfers, beside what needs no prediction at all.

Beside the prediction always stand: random order (closed form: precision R / candidates, Spearman 0), a
fixed list (the same order for all targets) and the oracle (ranking by the reference). The **fixed list**
gives, for each target, every source the mean over the *other* targets of its rank in their reference
columns; ranks, because columns differ in scale: on Taskonomy it reaches the known Spearman of .47, raw
values only .3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from modelatlas.errors import InputError
from modelatlas.evaluation.metrics import RELEVANT, Scores, average_ranks, oracle_scores, score
from modelatlas.evaluation.names import match_names
from modelatlas.evaluation.resampling import DRAWS, Difference, paired_difference
from modelatlas.evaluation.transfers import TransferTable

__all__ = ["Evaluation", "evaluate", "fixed_list"]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Result of `evaluate`; rows of all tables are the common sources, columns the common targets.

    Attributes
    ----------
    predicted, measured
        The two tables, with the reference's names.
    relevant
        Sources that count as relevant for a target.
    scores, fixed_list, oracle
        Of the prediction, the fixed list, the ranking by the reference.
    noise_ceiling
        Of a second reference as a prediction of the first; None without one.
    against
        Ours minus another prediction's, by quantity, over the same sources and targets; None without one.
    other, other_scores
        The other prediction, with the reference's names, and its scores; None without one.
    ignored
        Names that were not used, of the prediction (`affinity`) and of the `reference`.
    seed, draws
        Of the bootstrap over targets.
    """

    predicted: TransferTable
    measured: TransferTable
    relevant: int
    scores: Scores
    fixed_list: Scores
    oracle: Scores
    ignored: Mapping[str, tuple[str, ...]]
    noise_ceiling: Scores | None = None
    against: Mapping[str, Difference] | None = None
    other: TransferTable | None = None
    other_scores: Scores | None = None
    seed: int = 0
    draws: int = DRAWS

    @property
    def random_precision(self) -> float:
        """Expected precision of a random order, at every K: relevant / candidates, averaged over targets."""
        candidates = self.scores.candidates[self.scores.candidates > 0]
        return float(np.mean(np.minimum(self.relevant, candidates) / candidates))

    @property
    def known(self) -> TransferTable:
        """The reference, NaN where the prediction does not know the pair."""
        return _masked(self.measured, np.isnan(self.predicted.values))

    @property
    def most_candidates(self) -> int:
        """K runs from 1 to this number."""
        return int(self.scores.candidates.max())


def evaluate(
    prediction: TransferTable,
    reference: TransferTable,
    *,
    tasks: Mapping[str, str] | None = None,
    relevant: int = RELEVANT,
    noise_reference: TransferTable | None = None,
    against: TransferTable | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Evaluation:
    """Evaluate a prediction against measured transfers.

    Parameters
    ----------
    prediction, reference
        Rows are sources, columns are targets, higher is better.
    tasks
        Task tag of some models of `prediction` (and `against`), by which their names may meet.
    relevant
        How many of a target's best measured sources count as relevant.
    noise_reference
        A second measurement of the same transfers, for the noise ceiling.
    against
        Another prediction: then pairs that it does not know are left out for both, and differences are given.
    draws, seed
        Of the bootstrap over targets.

    Raises
    ------
    InputError
        The names do not meet, two models claim one name, or `relevant` is below 1.
    """
    if relevant < 1:
        raise InputError(f"relevant {relevant}: at least one source must count as relevant")
    names = match_names(prediction.names, reference.names, tasks=tasks)
    predicted, measured = _common(prediction.renamed(names), reference)
    other = None
    if against is not None:
        theirs = against.renamed(match_names(against.names, reference.names, tasks=tasks))
        other, measured = _common(theirs, measured)
        predicted = predicted.select(measured.sources, measured.targets)
        unknown = np.isnan(predicted.values) | np.isnan(other.values)
        predicted, other = (_masked(table, unknown) for table in (predicted, other))
    _check_enough(prediction, reference, predicted, measured)
    options: dict[str, Any] = {
        "sources": measured.sources, "targets": measured.targets, "relevant": relevant
    }  # fmt: skip
    known = _masked(measured, np.isnan(predicted.values))
    scores = score(predicted.values, measured.values, **options)
    other_scores = None if other is None else score(other.values, measured.values, **options)
    return Evaluation(
        predicted=predicted,
        measured=measured,
        relevant=relevant,
        scores=scores,
        fixed_list=score(fixed_list(measured.values), known.values, **options),
        oracle=oracle_scores(scores, relevant=relevant),
        ignored=_ignored(prediction, reference, names, measured),
        noise_ceiling=None if noise_reference is None else _noise(noise_reference, known, options),
        against=None if other_scores is None else _differences(scores, other_scores, draws, seed),
        other=other,
        other_scores=other_scores,
        seed=seed,
        draws=draws,
    )


def fixed_list(measured: Float64[np.ndarray, "source target"]) -> Float64[np.ndarray, "source target"]:
    """One order for all: a source's mean relative rank in the reference columns of the other targets.

    Ranks run from 0 to 1 in each column, ties keep average ranks, missing entries do not count; NaN where no
    other target has measured the source.
    """
    known = ~np.isnan(measured)
    ranks = np.zeros_like(measured)
    for column, mask in enumerate(known.T):
        ranks[mask, column] = average_ranks(measured[mask, column]) / max(1, mask.sum())
    sums, counts = ranks.sum(axis=1, keepdims=True) - ranks, known.sum(axis=1, keepdims=True) - known
    # Rounded, so that ties of equal means do not hang on the order of summation.
    with np.errstate(invalid="ignore"):
        return np.asarray(np.round(sums / counts, 12))


def _common(first: TransferTable, second: TransferTable) -> tuple[TransferTable, TransferTable]:
    rows, columns = set(first.sources), set(first.targets)
    sources = [name for name in second.sources if name in rows]
    targets = [name for name in second.targets if name in columns]
    return first.select(sources, targets), second.select(sources, targets)


def _masked(table: TransferTable, unknown: np.ndarray) -> TransferTable:
    return TransferTable(table.origin, table.sources, table.targets, np.where(unknown, np.nan, table.values))


def _check_enough(
    prediction: TransferTable, reference: TransferTable, predicted: TransferTable, measured: TransferTable
) -> None:
    known = ~(np.isnan(predicted.values) | np.isnan(measured.values))
    sources, targets = (np.array(side, dtype=object) for side in (measured.sources, measured.targets))
    if (known & (sources[:, None] != targets)).sum(axis=0).max(initial=0) >= 2:
        return
    ours, theirs = (", ".join(table.names[:3]) or "none" for table in (prediction, reference))
    raise InputError(
        f"{prediction.origin} and {reference.origin} share {len(measured.sources)} sources and "
        f"{len(measured.targets)} targets, too few to rank: names must be equal or end in the same part "
        f"after ':' or '/' (first of {prediction.origin}: {ours}; of {reference.origin}: {theirs})"
    )


def _ignored(
    prediction: TransferTable, reference: TransferTable, names: Mapping[str, str], measured: TransferTable
) -> dict[str, tuple[str, ...]]:
    used = set(measured.names)
    return {
        "affinity": tuple(name for name in prediction.names if names.get(name) not in used),
        "reference": tuple(name for name in reference.names if name not in used),
    }


def _noise(second: TransferTable, measured: TransferTable, options: Mapping[str, Any]) -> Scores:
    renamed = second.renamed(match_names(second.names, measured.names))
    known = TransferTable.from_frame(
        renamed.frame().reindex(index=list(measured.sources), columns=list(measured.targets)),
        origin=second.origin,
    )
    if np.isnan(known.values).all():
        raise InputError(
            f"{second.origin}: shares no pair with {measured.origin}: name another --noise-reference"
        )
    return score(known.values, measured.values, **options)


def _differences(ours: Scores, theirs: Scores, draws: int, seed: int) -> dict[str, Difference]:
    columns = {
        name: (getattr(ours, name), getattr(theirs, name))
        for name in ("spearman", "spearman_with_self", "kendall", "best_rank", "regret")
    }
    for k in (1, RELEVANT):
        if k <= ours.precision.shape[1]:
            columns[f"precision_at_{k}"] = (ours.precision[:, k - 1], theirs.precision[:, k - 1])
    return {name: paired_difference(a, b, draws=draws, seed=seed) for name, (a, b) in columns.items()}
