"""An evaluation as the JSON document of contract.md; what is undefined is null."""

from dataclasses import asdict
from typing import Any

import numpy as np

from modelatlas.evaluation.metrics import Scores, number_or_null
from modelatlas.evaluation.prediction import Evaluation
from modelatlas.evaluation.resampling import interval

__all__ = ["details", "document"]


def document(evaluation: Evaluation) -> dict[str, Any]:
    """Give the contract's object; with `noise_ceiling` and `against` only where they were asked for."""
    scores, most = evaluation.scores, evaluation.most_candidates
    means = scores.means()
    out = {
        "targets": len(evaluation.measured.targets),
        "sources": len(evaluation.measured.sources),
        "relevant": evaluation.relevant,
        "spearman": number_or_null(means["spearman"]),
        "spearman_with_self": number_or_null(means["spearman_with_self"]),
        "precision_at": _by_k(means["precision"], most),
        "recall_at": _by_k(means["recall"], most),
        "random_precision": number_or_null(evaluation.random_precision),
        "fixed_list": {
            "spearman": number_or_null(evaluation.fixed_list.means()["spearman"]),
            "precision_at": _by_k(evaluation.fixed_list.means()["precision"], most),
        },
        "per_target": {
            target: {"spearman": number_or_null(scores.spearman[row]), "precision_at_5": _at(scores, row, 5)}
            for row, target in enumerate(evaluation.measured.targets)
        },
        "ignored": {side: list(names) for side, names in evaluation.ignored.items()},
    }
    if evaluation.noise_ceiling is not None:
        out["noise_ceiling"] = _summary(evaluation.noise_ceiling, most)
    if evaluation.against is not None:
        out["against"] = {
            name: {part: number_or_null(value) for part, value in asdict(gap).items()}
            for name, gap in evaluation.against.items()
        }
    return out


def details(evaluation: Evaluation) -> dict[str, Any]:
    """Give what the contract's object leaves out: the other measures, their 95 % intervals, the oracle."""
    scores, most = evaluation.scores, evaluation.most_candidates
    columns = {
        **{name: getattr(scores, name) for name in _MEANS},
        **{f"precision_at_{k}": scores.precision[:, k - 1] for k in range(1, most + 1)},
        **{f"recall_at_{k}": scores.recall[:, k - 1] for k in range(1, most + 1)},
    }
    ends = interval(np.stack(list(columns.values()), axis=1), draws=evaluation.draws, seed=evaluation.seed)
    return {
        "kendall": number_or_null(scores.means()["kendall"]),
        "best_source_rank": number_or_null(scores.means()["best_rank"]),
        "regret": number_or_null(scores.means()["regret"]),
        "interval_95": {
            name: [number_or_null(low), number_or_null(high)]
            for name, low, high in zip(columns, *ends, strict=True)
        },
        "oracle": _summary(evaluation.oracle, most),
        "fixed_list": _summary(evaluation.fixed_list, most),
        "per_target": {
            target: {
                "candidates": int(scores.candidates[row]),
                **{name: number_or_null(getattr(scores, name)[row]) for name in _MEANS},
                "precision_at": _by_k(scores.precision[row], most),
            }
            for row, target in enumerate(evaluation.measured.targets)
        },
    }


_MEANS = ("spearman", "spearman_with_self", "kendall", "best_rank", "regret")


def _summary(scores: Scores, most: int) -> dict[str, Any]:
    means = scores.means()
    return {
        **{name: number_or_null(means[name]) for name in _MEANS},
        "precision_at": _by_k(means["precision"], most),
        "recall_at": _by_k(means["recall"], most),
    }


def _by_k(values: np.ndarray, most: int) -> dict[str, float | None]:
    return {str(k): number_or_null(values[k - 1]) for k in range(1, most + 1)}


def _at(scores: Scores, row: int, k: int) -> float | None:
    return number_or_null(scores.precision[row, k - 1]) if k <= scores.precision.shape[1] else None
