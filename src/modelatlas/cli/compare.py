"""`modelatlas compare`: how alike two atlases are."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelatlas.cli import render
from modelatlas.cli.command import AsJson, MethodOption
from modelatlas.cli.matrices import Matrix, check_methods, matrix_of

if TYPE_CHECKING:
    from modelatlas.evaluation import Comparison

__all__ = ["compare"]


def compare(
    first: Annotated[str, typer.Argument(metavar="DIR_OR_CSV", help="Atlas or CSV of affinities.")],
    second: Annotated[str, typer.Argument(metavar="DIR_OR_CSV", help="The other one.")],
    method: MethodOption = None,
    linkage: Annotated[str, typer.Option("--linkage", help="Of the two trees.")] = "single",
    permutations: Annotated[int, typer.Option("--permutations", min=1, help="Of the Mantel test.")] = 10_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the Mantel test.")] = 0,
    figures: Annotated[
        Path | None,
        typer.Option("--figures", metavar="DIR", help="Draw matrices and scatter into this folder."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two atlases, or matrices of affinities: values, rankings, trees."""
    from modelatlas import evaluation

    ours, theirs = (matrix_of(path, method=method) for path in (first, second))
    check_methods(ours, theirs)
    result = evaluation.compare(
        ours.table,
        theirs.table,
        groups={**theirs.groups, **ours.groups},
        tasks=theirs.tasks,
        linkage=linkage,
        permutations=permutations,
        seed=seed,
    )
    if ours.similarity and theirs.similarity and ours.similarity != theirs.similarity:
        render.note(
            f"the first compares maps by {ours.similarity}, the second by {theirs.similarity}: affinities "
            "differ for that alone; chart one of them again with the other's --similarity"
        )
    untrained = _untrained(result, ours, theirs)
    if untrained:
        render.warning(
            f"{len(untrained)} of the compared models {'has' if len(untrained) == 1 else 'have'} untrained "
            f"weights ({', '.join(untrained[:3])}{', ...' if len(untrained) > 3 else ''})"
        )
    if figures is not None:
        from modelatlas.report.comparison_figures import draw_comparison

        titles = (ours.title, theirs.title)
        for path in draw_comparison(result, figures, titles=titles, untrained=untrained):
            render.note(f"drawn: {path}")
    if as_json:
        extra = (
            {} if ours.method is None and theirs.method is None else {"method": ours.method or theirs.method}
        )
        render.document({**result.document(), "untrained": untrained, **extra})
        return
    _print(result, f"{ours.title} and {theirs.title}")


def _untrained(result: "Comparison", ours: Matrix, theirs: Matrix) -> list[str]:
    """Find the compared models that have untrained weights on either side, by the names of the first."""
    from modelatlas.evaluation import match_names

    names = match_names(theirs.table.names, ours.table.names, tasks=theirs.tasks)
    found = {*ours.untrained, *(names.get(name) for name in theirs.untrained)}
    return [name for name in result.first.models if name in found]


def _print(result: "Comparison", title: str) -> None:
    models, at = len(result.first.models), min(5, len(result.top_sources))
    trees = result.trees
    rows: list[list[object]] = [
        ["Pearson over pairs", result.pearson, f"Mantel p = {result.mantel_pearson_p:.4g}"],
        ["Spearman over pairs", result.spearman, f"Mantel p = {result.mantel_spearman_p:.4g}"],
        ["same best source", result.top_sources[0], f"random: {1 / (models - 1):.4f}"],
        [f"same best {at} sources", result.top_sources[at - 1], f"random: {at / (models - 1):.4f}"],
        ["cophenetic correlation", trees.cophenetic_correlation, f"{result.first_tree.method} linkage"],
        ["Baker's gamma", trees.bakers_gamma, ""],
        ["Robinson-Foulds, share", trees.robinson_foulds_share, f"{trees.robinson_foulds} clades differ"],
    ]
    if result.purity is not None:
        rows.append(["group purity, first tree", result.purity[0], ""])
        rows.append(["group purity, second tree", result.purity[1], ""])
    render.table(["", "", ""], rows, title=f"{title}: {models} models, {result.permutations} permutations")
    for side, names in zip(("first", "second"), result.only_in, strict=True):
        if names:
            render.note(f"only in the {side}: {', '.join(names)}")
