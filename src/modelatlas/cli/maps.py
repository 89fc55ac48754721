"""`modelatlas maps`: attribution maps as pictures."""

from pathlib import Path
from typing import Annotated

import typer

from modelatlas.cli import render

__all__ = ["maps"]


def maps(
    atlas: Annotated[str, typer.Argument(metavar="DIR", help="Folder of an atlas.")],
    model: Annotated[list[str], typer.Option("--model", help="Model by name; repeatable.")],
    image: Annotated[
        list[str], typer.Option("--image", help="Probe image by id or number from 0; repeatable.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="PNG", help="Picture to write.")],
) -> None:
    """Draw the attribution maps of models on probe images."""
    from modelatlas.atlas import open_atlas
    from modelatlas.report import draw_maps

    written = draw_maps(open_atlas(atlas), models=model, images=image, out=out)
    render.note(f"wrote {written}")
