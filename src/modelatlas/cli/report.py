"""`modelatlas report`: the figures and the page again, from what is stored."""

from pathlib import Path
from typing import Annotated

import typer

from modelatlas.cli import render

__all__ = ["report"]


def report(
    atlas: Annotated[str, typer.Argument(metavar="DIR", help="Folder of an atlas.")],
) -> None:
    """Write figures and report.html again from what is stored."""
    from modelatlas.atlas import open_atlas
    from modelatlas.report import draw_figures, write_report

    opened = open_atlas(atlas)
    draw_figures(opened, Path(atlas))
    render.note(f"report: {write_report(opened, Path(atlas))}")
