"""Figures of an evaluation: curves over K, bars by target, measured affinity by place in our ranking.

- `evaluation-curves`: P@K and R@K with random order, fixed list and oracle (Song et al. 2019, figure 4),
  and the 95 % band of a bootstrap over targets;
- `evaluation-targets`: Spearman and P@5 of every target, best first;
- `evaluation-priority`: the correlation-priority curve: what the source at place 1, 2, ... of our ranking
  is worth in the reference, scaled to 0..1 for each target. The faster it falls, the better; random order
  is flat.
"""

from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float64

from modelatlas.evaluation import Evaluation, Scores, TransferTable, interval
from modelatlas.evaluation.metrics import mean_defined
from modelatlas.report.plot import Panel
from modelatlas.report.sheet import FAINT, INK, MUTED, RULE, Sheet, text_width, wrapped

__all__ = ["draw_evaluation", "priority_curve"]

OURS: Final = "#0063a0"
OTHER: Final = "#b04300"
BAR: Final = "#8db8d6"
CEILING: Final = "#00734f"
MOST_BARS: Final = 60


def draw_evaluation(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Draw the three figures, each as PNG and SVG.

    Returns
    -------
        What was written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [
        *_curves(evaluation).save(folder / "evaluation-curves", title="Precision and recall at K"),
        *_targets(evaluation).save(folder / "evaluation-targets", title="Agreement by target"),
        *_priority(evaluation).save(folder / "evaluation-priority", title="Correlation-priority curve"),
    ]


def priority_curve(
    ranking: TransferTable, worth: TransferTable
) -> tuple[Float64[np.ndarray, " place"], Float64[np.ndarray, " place"]]:
    """Mean over targets of the worth of the source at each place of the ranking, and the mean worth of all.

    Parameters
    ----------
    ranking, worth
        Tables with the same rows and columns; the target itself and pairs unknown to either are left out.

    Returns
    -------
        Worth at place 1, 2, ..., scaled for each target from 0 (its worst source) to 1 (its best); and the
        level of a random order at each place, among the targets that reach it.
    """
    columns, names = [], np.array(ranking.sources, dtype=object)
    alphabet = np.argsort(np.argsort(names))
    for column, target in enumerate(ranking.targets):
        ours, theirs = ranking.values[:, column], worth.values[:, column]
        known = ~(np.isnan(ours) | np.isnan(theirs)) & (names != target)
        ours, theirs = ours[known], theirs[known]
        if len(theirs) < 2 or np.ptp(theirs) == 0:
            continue
        scaled = (theirs - theirs.min()) / np.ptp(theirs)
        order = np.lexsort((alphabet[known], -ours))
        row = np.full((2, len(ranking.sources)), np.nan)
        row[0, : len(order)], row[1, : len(order)] = scaled[order], scaled.mean()
        columns.append(row)
    stacked = np.stack(columns) if columns else np.full((1, 2, 0), np.nan)
    places = int((~np.isnan(stacked[:, 0])).sum(axis=1).max(initial=0))
    means = np.nanmean(stacked[:, :, :places], axis=0)
    return means[0], means[1]


def _entries(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """Name, colour and line style of what the curves show."""
    entries = [
        ("prediction", OURS, "-"),
        ("oracle", INK, "--"),
        ("fixed list", MUTED, "-."),
        ("random order", FAINT, ":"),
    ]
    if evaluation.noise_ceiling is not None:
        entries.insert(1, ("noise ceiling", CEILING, "-"))
    if evaluation.other is not None:
        entries.insert(1, ("other prediction", OTHER, "-"))
    return entries


def _curves(evaluation: Evaluation) -> Sheet:
    most = evaluation.most_candidates
    sheet = Sheet(8.2, 4.35)
    _head(sheet, "Precision and recall at K", evaluation)
    styles = {name: (colour, line) for name, colour, line in _entries(evaluation)}
    random = {
        "precision": np.full(most, evaluation.random_precision),
        "recall": np.arange(1, most + 1) / most,
    }
    for at, (quantity, name) in enumerate((("precision", "P@K"), ("recall", "R@K"))):
        panel = Panel(sheet, 0.75 + 4 * at, 1.15, 3.2, 2.45, across=(1, most), along=(0, 1))
        panel.frame(x_label="K: sources tried", y_label=name, whole=True)
        low, high = interval(
            getattr(evaluation.scores, quantity)[:, :most], draws=evaluation.draws, seed=evaluation.seed
        )
        k = np.arange(1, most + 1)
        panel.axes.fill_between(k, low, high, color=OURS, alpha=0.15, linewidth=0)
        shown: dict[str, Scores | None] = {
            "fixed list": evaluation.fixed_list,
            "oracle": evaluation.oracle,
            "noise ceiling": evaluation.noise_ceiling,
            "other prediction": evaluation.other_scores,
            "prediction": evaluation.scores,
        }
        panel.line(k, random[quantity], *styles["random order"])
        for entry, scores in shown.items():
            if scores is not None:
                panel.line(k, scores.means()[quantity][:most], *styles[entry], marks=entry == "prediction")
    _legend(sheet, _entries(evaluation), y=0.86)
    return sheet


def _targets(evaluation: Evaluation) -> Sheet:
    scores, five = evaluation.scores, min(5, evaluation.most_candidates)
    order = np.argsort(-np.nan_to_num(scores.spearman, nan=-2), kind="stable")
    half = MOST_BARS // 2
    cut = order if len(order) <= MOST_BARS else np.concatenate([order[:half], order[-half:]])
    names = [wrapped(evaluation.measured.targets[row], 3.0, size=9).split("\n")[0] for row in cut]
    left = 0.3 + max(text_width(name, size=9) for name in names) + 0.12
    step, top, width, gap = 0.2, 0.85, 2.6, 0.5
    sheet = Sheet(left + 2 * width + gap + 0.3, top + step * len(names) + 0.75)
    _head(sheet, "Agreement with the reference, by target", evaluation)
    chance = evaluation.random_precision
    for at, (values, label) in enumerate(
        (
            (scores.spearman, "Spearman, the target left out"),
            (scores.precision[:, five - 1], f"P@{five}"),
        )
    ):
        low = np.floor(5 * min(0.0, float(np.nanmin(values[cut], initial=0)))) / 5
        mean = float(mean_defined(values))
        marks = [(mean, INK, "--")] if at == 0 else [(mean, INK, "--"), (chance, MUTED, ":")]
        ends = {"across": (low, 1.0), "along": (len(names), 0)}
        panel = Panel(sheet, left + at * (width + gap), top, width, step * len(names), **ends)
        random = f", random {chance:.2f} (dotted)" if at == 1 else ""
        panel.frame(x_label=f"{label}; mean {mean:.2f} (dashed){random}", y_ticks=False)
        panel.axes.barh(
            np.arange(len(cut)) + 0.5, np.nan_to_num(values[cut]), height=0.62, color=BAR, linewidth=0
        )
        for value, colour, line in marks:
            panel.axes.axvline(value, color=colour, linewidth=1.1, linestyle=line, clip_on=False)
        if at == 0:
            for place, name in enumerate(names):
                panel.beside(left - 0.12, top + step * (place + 0.5), name)
    if len(cut) < len(order):
        sheet.text(left, sheet.height - 0.1, f"best and worst {half} of {len(order)} targets", size=8)
    return sheet


def _priority(evaluation: Evaluation) -> Sheet:
    sheet = Sheet(5.4, 4.35)
    _head(sheet, "Correlation-priority curve", evaluation)
    measured = evaluation.measured
    ours, level = priority_curve(evaluation.predicted, measured)
    best, _ = priority_curve(measured, evaluation.known)
    k = np.arange(1, len(ours) + 1)
    panel = Panel(sheet, 0.75, 1.15, 4.3, 2.45, across=(1, max(2, len(ours))), along=(0, 1))
    panel.frame(x_label="priority: place in the ranking", y_label="relative measured affinity", whole=True)
    panel.line(k, level, FAINT, ":")
    panel.line(np.arange(1, len(best) + 1), best, INK, "--")
    if evaluation.other is not None:
        theirs, _ = priority_curve(evaluation.other, measured)
        panel.line(k, theirs, OTHER, "-")
    panel.line(k, ours, OURS, "-", marks=True)
    hidden = ("fixed list", "noise ceiling")
    _legend(sheet, [entry for entry in _entries(evaluation) if entry[0] not in hidden], y=0.86)
    return sheet


def _head(sheet: Sheet, title: str, evaluation: Evaluation) -> None:
    sheet.text(0.3, 0.36, title, size=12, weight="bold")
    targets, sources = len(evaluation.measured.targets), len(evaluation.measured.sources)
    sheet.text(
        0.3,
        0.58,
        f"{_short(evaluation.predicted)} against {_short(evaluation.measured)}: "
        f"{targets} targets, {sources} sources, {evaluation.relevant} relevant",
        size=8.5,
        colour=MUTED,
    )


def _short(table: TransferTable) -> str:
    return table.origin.rsplit("/", 1)[-1]


def _legend(sheet: Sheet, entries: list[tuple[str, str, str]], *, y: float) -> None:
    x, swatch = 0.3, 0.3
    axes = sheet.axes(0, 0, sheet.width, sheet.height)
    axes.set_xlim(0, sheet.width)
    axes.set_ylim(sheet.height, 0)
    axes.axhline(sheet.height, color=RULE, linewidth=0)
    for name, colour, line in entries:
        axes.plot([x, x + swatch], [y - 0.035] * 2, color=colour, linestyle=line, linewidth=1.8)
        sheet.text(x + swatch + 0.07, y, name, size=8.5)
        x += swatch + 0.07 + text_width(name, size=8.5) + 0.22
