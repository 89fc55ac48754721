"""Bootstrap over targets: how far a mean over so few targets can be trusted.

Targets are drawn with replacement, a quantity's mean is taken over those for which it is defined, and the
percentile interval of the means is given (Efron 1979). Two predictions are compared **paired**: by the mean
of their differences on the same targets. With 17 targets a gap in mean Spearman under about .06 is noise.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64

from modelatlas.evaluation.metrics import mean_defined

__all__ = ["DRAWS", "Difference", "bootstrap_means", "interval", "paired_difference"]

DRAWS: Final = 2000


@dataclass(frozen=True)
class Difference:
    """Mean of a paired difference over targets.

    Attributes
    ----------
    mean, low, high
        The mean and its 95 % interval, in the unit of what is compared.
    p
        Two-sided: twice the smaller share of draws on one side of zero, at least 1 / draws, at most 1.
    """

    mean: float
    low: float
    high: float
    p: float


def bootstrap_means(
    values: Float64[np.ndarray, "target quantity"], *, draws: int = DRAWS, seed: int = 0
) -> Float64[np.ndarray, "draw quantity"]:
    """Means over targets drawn with replacement; NaN where a draw has no defined value."""
    targets = len(values)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(targets, np.full(targets, 1 / targets), size=draws).astype(np.float64)
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(weights @ np.where(known, values, 0) / (weights @ known))


def interval(
    values: Float64[np.ndarray, "target quantity"], *, draws: int = DRAWS, seed: int = 0, level: float = 0.95
) -> tuple[Float64[np.ndarray, " quantity"], Float64[np.ndarray, " quantity"]]:
    """Percentile interval of each quantity's mean over targets; NaN where it is defined for no target."""
    means = bootstrap_means(values, draws=draws, seed=seed)
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(means, tails, axis=0)
    for column in np.flatnonzero(np.isnan(low)):  # some draw, or every one, had no defined value
        if len(defined := means[~np.isnan(means[:, column]), column]):
            low[column], high[column] = np.quantile(defined, tails)
    return low, high


def paired_difference(
    ours: Float64[np.ndarray, " target"],
    theirs: Float64[np.ndarray, " target"],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Difference:
    """Mean of ours - theirs over the targets for which both are defined, with its interval."""
    gaps = (ours - theirs)[:, None]
    mean = float(mean_defined(gaps)[0])
    means = bootstrap_means(gaps, draws=draws, seed=seed)[:, 0]
    means = means[~np.isnan(means)]
    if not len(means):
        return Difference(mean, mean, mean, float("nan"))
    low, high = np.quantile(means, [0.025, 0.975])
    tail = min((means <= 0).mean(), (means >= 0).mean())
    return Difference(mean, float(low), float(high), float(min(1, max(2 * tail, 1 / draws))))
