"""`modelatlas cache`: where downloads lie, how large, prune."""

from typing import Annotated

import typer

from modelatlas.cli import render
from modelatlas.cli.command import AsJson

__all__ = ["cache"]


def cache(
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove what is in it; it is fetched again when needed.")
    ] = False,
    older_than: Annotated[
        float, typer.Option("--older-than", metavar="DAYS", min=0.0, help="With --prune: only what is older.")
    ] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Show where downloads lie and how large they are, or remove them."""
    from modelatlas import fetch

    entries = fetch.prune(older_than_days=older_than) if prune else fetch.cache_entries()
    total = sum(entry.bytes for entry in entries)
    root = str(fetch.cache_root())
    if as_json:
        listed = [{"name": entry.name, "bytes": entry.bytes} for entry in entries]
        render.document({"root": root, "removed" if prune else "entries": listed, "bytes": total})
        return
    verb = "Removed from" if prune else "In"
    render.table(
        ("", "MB"),
        [[entry.name, f"{entry.bytes / 1e6:.1f}"] for entry in entries],
        title=f"{verb} {root}: {total / 1e6:.1f} MB",
    )
