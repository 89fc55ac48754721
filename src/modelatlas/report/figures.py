"""The paper's figures of an atlas: matrices, trees, maps, each as PNG and SVG."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from modelatlas.atlas import Atlas
from modelatlas.errors import InputError
from modelatlas.report.contents import labels, matrix, method_title, model_order, subject
from modelatlas.report.examples import examples, telling_examples
from modelatlas.report.maps_figure import draw_examples
from modelatlas.report.matrix_figure import draw_matrix
from modelatlas.report.tree_figure import draw_tree

__all__ = ["draw_figures", "draw_maps"]

TALLEST: Final = 150.0
"""Inches of a picture of maps."""


def draw_figures(atlas: Atlas, out: Path) -> list[Path]:
    """Draw `figures/affinity-<method>`, `figures/tree-<method>` and `figures/maps`, as PNG and SVG.

    One model alone has no tree.

    Parameters
    ----------
    atlas
        With at least one charted model.
    out
        The atlas folder; the figures go into its `figures`.

    Returns
    -------
        What was written.

    Raises
    ------
    StoreError
        The folder cannot be written to.
    """
    folder, known, what = Path(out) / "figures", labels(atlas), subject(atlas)
    written: list[Path] = []
    for method in atlas.methods:
        found, title = matrix(atlas, method), method_title(method)
        order = "; rows and columns in the order of the tree" if found.tree is not None else ""
        sheet = draw_matrix(found, known, subtitle=what + order)
        written += sheet.save(folder / f"affinity-{method}", title=f"Affinity by {title}")
        if found.tree is not None:
            sheet = draw_tree(found, found.tree, known, subtitle=what)
            written += sheet.save(folder / f"tree-{method}", title=f"Similarity tree by {title}")
    models = model_order(atlas)
    shown = telling_examples(atlas, _image_count(len(models)), models)
    sheet = draw_examples(shown, models=models, methods=atlas.methods, labels=known, subtitle=what)
    return written + sheet.save(folder / "maps", title="Attribution maps")


def draw_maps(atlas: Atlas, *, models: Sequence[str], images: Sequence[str], out: Path) -> Path:
    """Draw the maps of some models on some images as one PNG.

    Parameters
    ----------
    models
        Names of charted models.
    images
        Ids of probe images, or their numbers from 0.
    out
        The file to write.

    Raises
    ------
    InputError
        No such model or image, too many of them for one picture, or `out` is no PNG.
    StoreError
        The file cannot be written.
    """
    out = Path(out)
    if out.suffix.lower() != ".png":
        raise InputError(f"{out}: maps are drawn as PNG; give a file that ends in .png")
    models, images = tuple(dict.fromkeys(models)), tuple(dict.fromkeys(images))
    if not models or not images:
        raise InputError("name at least one model and one image to draw")
    shown = examples(atlas, images, models)
    sheet = draw_examples(
        shown,
        models=models,
        methods=atlas.methods,
        labels=labels(atlas),
        subtitle=f"of the atlas {atlas.path.name}",
    )
    if sheet.height > TALLEST:
        raise InputError(
            f"maps of {len(models)} models on {len(images)} images make a picture of {sheet.height:.0f} "
            "inches: draw fewer images at a time"
        )
    return sheet.save_png(out, title="Attribution maps")


def _image_count(models: int) -> int:
    """Three images of few models, one of many: a figure that fits a page."""
    return 3 if models <= 4 else 2 if models <= 10 else 1
