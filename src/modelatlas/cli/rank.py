"""`modelatlas rank`: sources for a target, best first."""

from typing import Annotated

import typer

from modelatlas.cli import render
from modelatlas.cli.command import AsJson, InAtlas, MethodOption

__all__ = ["rank"]


def rank(
    target: Annotated[str, typer.Argument(help="Model to transfer to: a name in the atlas.")],
    atlas: InAtlas,
    method: MethodOption = None,
    top: Annotated[int, typer.Option("-k", min=1, help="Sources to show.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Rank source models for a target, by falling affinity, with 95 % confidence intervals."""
    from modelatlas.atlas import open_atlas

    opened = open_atlas(atlas)
    chosen = method or opened.default_method
    ranking = opened.rank(target, method=chosen, top=top)
    rows = [
        {"source": row.source, "trained": row.source not in opened.untrained}
        | {key: getattr(row, key) for key in ("affinity", "low", "high")}
        for row in ranking.itertuples()
    ]
    if as_json:
        trained = target not in opened.untrained
        render.document({"target": target, "trained": trained, "method": chosen, "sources": rows})
        return
    if not rows:
        render.note(f"there is no other model in {atlas} to rank as a source for {opened.label(target)}")
        return
    render.table(
        ["", "source", "affinity", "95 % low", "high"],
        [
            [place, opened.label(row["source"]), row["affinity"], row["low"], row["high"]]
            for place, row in enumerate(rows, start=1)
        ],
        title=f"Sources for {opened.label(target)} by {opened.basis(chosen)}",
    )
