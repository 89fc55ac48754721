"""`modelatlas evaluate`: predicted affinities against measured transfers."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from modelatlas.cli import render
from modelatlas.cli.command import AsJson, MethodOption
from modelatlas.cli.matrices import Matrix, matrix_of, read_csv
from modelatlas.errors import InputError

if TYPE_CHECKING:
    from modelatlas.evaluation import Evaluation, Scores, TransferTable

__all__ = ["evaluate"]

_REFERENCE = "taskonomy[:16k|:1k|:standard] or a CSV file"


def evaluate(
    affinity: Annotated[
        Path | None, typer.Option("--affinity", metavar="FILE", help="CSV of predicted affinities.")
    ] = None,
    atlas: Annotated[
        Path | None, typer.Option("--in", metavar="DIR", help="Folder of an atlas, instead of --affinity.")
    ] = None,
    method: MethodOption = None,
    reference: Annotated[
        str | None, typer.Option("--reference", metavar="REF", help=f"Measured transfers: {_REFERENCE}.")
    ] = None,
    losses: Annotated[
        Path | None,
        typer.Option(
            "--losses",
            metavar="FILE",
            help="Measured losses instead of --reference: CSV with the columns target, source, image, loss.",
        ),
    ] = None,
    training_set: Annotated[
        str | None,
        typer.Option("--training-set", metavar="NAME", help="Which training set of the reference to take."),
    ] = None,
    noise_reference: Annotated[
        str | None,
        typer.Option("--noise-reference", metavar="REF", help="Second measurement, for the noise ceiling."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against", metavar="CSV_OR_DIR", help="Other prediction: test the difference, paired."
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="NAME", help="Leave a source and target out (repeatable)."),
    ] = None,
    relevant: Annotated[int, typer.Option("--relevant", min=1, help="Sources relevant for a target.")] = 5,
    figures: Annotated[
        Path | None,
        typer.Option("--figures", metavar="DIR", help="Draw the curves and bars into this folder."),
    ] = None,
    with_details: Annotated[
        bool, typer.Option("--details", help="With --json: all measures and intervals, under `details`.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure how well affinities predict measured transfers: P@K, R@K, Spearman."""
    from modelatlas import evaluation

    if (affinity is None) == (atlas is None):
        raise InputError("name what to evaluate: either --affinity FILE.csv or --in DIR")
    if (reference is None) == (losses is None):
        raise InputError(f"name what was measured: either --reference ({_REFERENCE}) or --losses FILE")
    ours = matrix_of(affinity or atlas, method=method)  # type: ignore[arg-type]
    measured = evaluation.read_losses(losses) if losses else _reference(str(reference), training_set)
    other = None if against is None else matrix_of(against, method=method)
    left_out = set(exclude or ())
    if strange := left_out - {*ours.table.names, *measured.names}:
        raise InputError(f"--exclude {min(strange)}: neither the prediction nor the reference has this name")
    result = evaluation.evaluate(
        ours.table.without(left_out),
        measured.without(left_out),
        tasks=_tasks(ours, other),
        relevant=relevant,
        noise_reference=None if noise_reference is None else _reference(noise_reference, None),
        against=None if other is None else other.table.without(left_out),
    )
    _warn_of_untrained(ours, result)
    if figures is not None:
        from modelatlas.report.evaluation_figures import draw_evaluation

        for path in draw_evaluation(result, figures):
            render.note(f"drawn: {path}")
    if as_json:
        extra: dict[str, Any] = {} if ours.method is None else {"method": ours.method}
        if with_details:
            extra["details"] = evaluation.details(result)
        render.document({**evaluation.document(result), **extra})
        return
    _print(result, ours.title)


def _reference(text: str, training_set: str | None) -> "TransferTable":
    from modelatlas import evaluation

    name, _, chosen = text.partition(":")
    if name == "taskonomy":
        if chosen and training_set and chosen != training_set:
            raise InputError(f"--reference {text} and --training-set {training_set} differ: give one of them")
        return evaluation.taskonomy_transfers(chosen or training_set or "16k")
    return read_csv(text, training_set=training_set, expected=_REFERENCE)


def _tasks(*sides: Matrix | None) -> Mapping[str, str]:
    return {name: task for side in sides if side is not None for name, task in side.tasks.items()}


def _warn_of_untrained(ours: Matrix, result: "Evaluation") -> None:
    ignored = set(result.ignored["affinity"])
    untrained = [name for name in ours.untrained if name not in ignored]
    if untrained:
        render.warning(
            f"{len(untrained)} of the evaluated models have untrained weights ({', '.join(untrained[:3])}): "
            "this says nothing about trained ones"
        )


def _print(result: "Evaluation", title: str) -> None:
    targets, sources = len(result.measured.targets), len(result.measured.sources)
    columns = ["", "Spearman", "with self", "Kendall", "P@1", "P@5", "best at", "regret"]
    rows = [
        ["prediction", *_cells(result.scores)],
        ["  95 % from", *_interval(result, 0)],
        ["  to", *_interval(result, 1)],
        ["fixed list", *_cells(result.fixed_list)],
        ["random order", 0.0, None, 0.0, result.random_precision, result.random_precision, None, None],
        ["oracle", *_cells(result.oracle)],
    ]
    if result.noise_ceiling is not None:
        rows.append(["noise ceiling", *_cells(result.noise_ceiling)])
    render.table(
        columns,
        rows,
        title=f"{title} against {result.measured.origin}: {targets} targets, {sources} sources, "
        f"{result.relevant} relevant",
    )
    if result.against is not None and result.other is not None:
        render.console().print()
        render.table(
            ["", "difference", "95 % from", "to", "p"],
            [[name, gap.mean, gap.low, gap.high, gap.p] for name, gap in result.against.items()],
            title=f"Minus {result.other.origin}, paired over targets",
        )
    render.console().print()
    scores, at = result.scores, min(5, result.scores.precision.shape[1]) - 1
    order = np.argsort(-np.nan_to_num(scores.spearman, nan=-2), kind="stable")
    render.table(
        ["target", "Spearman", "Kendall", f"P@{at + 1}", "best at", "regret"],
        [
            [
                result.measured.targets[row],
                *(
                    float(part[row])
                    for part in (
                        scores.spearman,
                        scores.kendall,
                        scores.precision[:, at],
                        scores.best_rank,
                        scores.regret,
                    )
                ),
            ]
            for row in order
        ],
    )
    for side, names in result.ignored.items():
        if names:
            render.note(f"not used of the {side}: {', '.join(names)}")


def _columns(scores: "Scores") -> np.ndarray:
    """Put the quantities of the summary side by side: [target, quantity]."""
    five = min(5, scores.precision.shape[1]) - 1
    return np.stack(
        [
            scores.spearman,
            scores.spearman_with_self,
            scores.kendall,
            scores.precision[:, 0],
            scores.precision[:, five],
            scores.best_rank,
            scores.regret,
        ],
        axis=1,
    )


def _cells(scores: "Scores") -> list[float]:
    from modelatlas.evaluation.metrics import mean_defined

    return [float(value) for value in mean_defined(_columns(scores))]


def _interval(result: "Evaluation", end: int) -> list[float]:
    from modelatlas.evaluation import interval

    ends = interval(_columns(result.scores), draws=result.draws, seed=result.seed)
    return [float(value) for value in ends[end]]
