"""`modelatlas evaluate`: predicted affinities against measured transfers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from modelatlas.cli import render
from modelatlas.cli.command import AsJson, MethodOption
from modelatlas.cli.matrices import Matrix, check_methods, matrix_of, read_table
from modelatlas.errors import InputError

if TYPE_CHECKING:
    from modelatlas.evaluation import Evaluation, Scores

__all__ = ["evaluate"]

_REFERENCE = "taskonomy[:16k|:1k|:standard], mini[:again|:half-a|:half-b] or a CSV file"


def evaluate(
    affinity: Annotated[
        str | None, typer.Option("--affinity", metavar="FILE", help="CSV of predicted affinities.")
    ] = None,
    atlas: Annotated[
        str | None, typer.Option("--in", metavar="DIR", help="Folder of an atlas, instead of --affinity.")
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
        str | None,
        typer.Option(
            "--against", metavar="CSV_OR_DIR", help="Other prediction: test the difference, paired."
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude", metavar="NAME", help="Leave out as source and target (repeatable, or A,B,C)."
        ),
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
    ours = matrix_of(str(affinity or atlas), method=method)
    measured = (
        evaluation.read_losses(losses)
        if losses
        else read_table(str(reference), training_set=training_set, expected=_REFERENCE)
    )
    other = None if against is None else matrix_of(against, method=method)
    if other is not None:
        check_methods(ours, other)
    left_out = _left_out(exclude or (), {*ours.table.names, *measured.names})
    result = evaluation.evaluate(
        ours.table.without(left_out),
        measured.without(left_out),
        tasks=_tasks(ours, other),
        relevant=relevant,
        noise_reference=read_table(noise_reference, expected=_REFERENCE) if noise_reference else None,
        against=None if other is None else other.table.without(left_out),
    )
    if result.relevant >= result.most_candidates:
        render.warning(
            f"{result.relevant} sources count as relevant, of at most {result.most_candidates}: "
            "P@K and R@K say nothing here; take fewer (--relevant)"
        )
    _warn_of_untrained(ours, set(ours.table.names) - left_out - set(result.ignored["affinity"]))
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


def _left_out(texts: Sequence[str], known: set[str]) -> set[str]:
    """Names to leave out; a text is one name, or several with commas between."""
    names = {name for text in texts for name in ([text] if text in known else text.split(","))}
    if strange := names - known:
        raise InputError(f"--exclude {min(strange)}: neither the prediction nor the reference has this name")
    return names


def _tasks(*sides: Matrix | None) -> Mapping[str, str]:
    return {name: task for side in sides if side is not None for name, task in side.tasks.items()}


def _warn_of_untrained(ours: Matrix, used: set[str]) -> None:
    untrained = [name for name in ours.untrained if name in used]
    if untrained:
        render.warning(
            f"{len(untrained)} of the evaluated models have untrained weights ({', '.join(untrained[:3])}): "
            "this says nothing about trained ones"
        )


def _print(result: "Evaluation", title: str) -> None:
    _print_summary(result, title)
    if result.against is not None and result.other is not None:
        render.console().print()
        render.table(
            ["", "difference", "95 % from", "to", "p"],
            [[name, gap.mean, gap.low, gap.high, gap.p] for name, gap in result.against.items()],
            title=f"Minus {result.other.origin}, paired over targets",
        )
    render.console().print()
    _print_targets(result)
    for side, names in result.ignored.items():
        if names:
            render.note(f"not used of the {side}: {', '.join(names)}")


def _print_summary(result: "Evaluation", title: str) -> None:
    from modelatlas.evaluation import interval
    from modelatlas.evaluation.metrics import mean_defined

    five, chance = min(5, result.most_candidates), result.random_precision
    low, high = interval(_columns(result.scores, five), draws=result.draws, seed=result.seed)
    rows: list[list[object]] = [
        ["prediction", *map(float, mean_defined(_columns(result.scores, five)))],
        ["  95 % from", *map(float, low)],
        ["  to", *map(float, high)],
        ["fixed list", *map(float, mean_defined(_columns(result.fixed_list, five)))],
        ["random order", 0.0, None, 0.0, chance, chance, None, None],
        ["oracle", *map(float, mean_defined(_columns(result.oracle, five)))],
    ]
    if result.noise_ceiling is not None:
        rows.append(["noise ceiling", *map(float, mean_defined(_columns(result.noise_ceiling, five)))])
    targets, sources = len(result.measured.targets), len(result.measured.sources)
    render.table(
        ["", "Spearman", "with self", "Kendall", "P@1", f"P@{five}", "best at", "regret"],
        rows,
        title=f"{title} against {result.measured.origin}: {targets} targets, {sources} sources, "
        f"{result.relevant} relevant",
    )


def _print_targets(result: "Evaluation") -> None:
    five = min(5, result.most_candidates)
    values = _columns(result.scores, five)
    order = np.argsort(-np.nan_to_num(values[:, 0], nan=-2), kind="stable")
    render.table(
        ["target", "Spearman", "with self", "Kendall", "P@1", f"P@{five}", "best at", "regret"],
        [[result.measured.targets[row], *map(float, values[row])] for row in order],
    )


def _columns(scores: "Scores", five: int) -> np.ndarray:
    """Put the quantities of the tables side by side: [target, quantity]."""
    return np.stack(
        [
            scores.spearman,
            scores.spearman_with_self,
            scores.kendall,
            scores.precision[:, 0],
            scores.precision[:, five - 1],
            scores.best_rank,
            scores.regret,
        ],
        axis=1,
    )
