"""`report.html`: one file with everything in it, that asks the network for nothing.

The page works without its script (tabs are radio buttons that the style sheet reads); the script tells pairs
under the pointer. A content security policy in the page itself forbids every request, and every script but
the one that is named by its checksum: a model called `<script>` stays text.
"""

import base64
import hashlib
import re
import shlex
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from modelatlas._types import DEFAULT_METHOD
from modelatlas.atlas import Atlas, ModelRecord
from modelatlas.report.colour import Palette, hex_colour, palette
from modelatlas.report.contents import Labels, Matrix, labels, matrix, model_order, subject
from modelatlas.report.examples import telling_examples
from modelatlas.report.finding import finding
from modelatlas.report.numbers import number
from modelatlas.report.panels import make_panel, shades
from modelatlas.report.tiles import image_count, make_picture
from modelatlas.store import write_text

__all__ = ["repeat_command", "write_report"]

_DENSE_FROM: Final = 25
"""Models from which on a cell is too small for its value."""


def write_report(atlas: Atlas, out: Path) -> Path:
    """Write `report.html`.

    Parameters
    ----------
    atlas
        With at least one charted model.
    out
        The atlas folder.

    Returns
    -------
        The file.

    Raises
    ------
    StoreError
        The folder cannot be written to.
    """
    path = Path(out) / "report.html"
    write_text(path, render(atlas))
    return path


def render(atlas: Atlas) -> str:
    """Set the page."""
    known = labels(atlas)
    default = DEFAULT_METHOD if DEFAULT_METHOD in atlas.methods else atlas.methods[0]
    matrices = {method: matrix(atlas, method) for method in atlas.methods}
    order = model_order(atlas)
    shown = telling_examples(atlas, image_count(len(order), len(atlas.methods)), order)
    script = _asset("report.js")
    environment = Environment(
        loader=PackageLoader("modelatlas.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    environment.filters["breakable"] = breakable
    return environment.get_template("report.html.j2").render(
        atlas=atlas,
        known=known,
        groups=list(known.groups.values()),
        group_class=_group_class(known),
        default=default,
        subject=subject(atlas),
        finding=finding(matrices[default], known),
        further=[finding(found, known) for method, found in matrices.items() if method != default],
        panels=[make_panel(found, known) for found in matrices.values()],
        pictures=[make_picture(one, models=order, methods=atlas.methods) for one in shown],
        charted=[model for model in atlas.models if model.charted],
        excluded=[model for model in atlas.models if not model.charted],
        seconds=sum(model.seconds or 0.0 for model in atlas.models),
        command=repeat_command(atlas),
        dense=len(order) >= _DENSE_FROM,
        cell=_cell_size(len(order)),
        style=Markup(_asset("report.css")),
        palettes=_palettes(matrices.values()),
        keys=[(kind, ", ".join(map(hex_colour, palette(kind, 9)))) for kind in ("saliency", "signed")],
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def breakable(name: str) -> Markup:
    """Escape a name and let its lines break after separators; copied text stays the name."""
    return Markup("<wbr>").join(re.split(r"(?<=[:/_.?&=-])(?=[^:/_.?&=-])", name))


def repeat_command(atlas: Atlas) -> str:
    """Command line that makes the same atlas again, quoted for a POSIX shell."""
    settings, document = atlas.settings, atlas.document
    specs = [model.spec for model in atlas.models]
    zoo = ",".join(specs) if document["zoo"] == "specs" else str(document["zoo"])
    words = ["modelatlas", "chart", zoo, "--probe", str(document["probe"]["name"])]
    for name in ("images", "seed", "grid", "epsilon", "precision", "linkage"):
        words += [f"--{name}", f"{settings[name]}"]
    words += ["--similarity", atlas.similarity]
    for method in atlas.methods:
        words += ["--method", method]
    words += ["--out", atlas.path.name or "atlas"]
    if any(_runs_code(model) for model in atlas.models):
        words.append("--trust-code")
    return " ".join(shlex.quote(word) for word in words)


def _runs_code(model: ModelRecord) -> bool:
    """Whether a model is the user's own code; atlases of older versions say so by the spec alone."""
    return bool((model.details or {}).get("runs_code", model.spec.startswith("python:")))


def _group_class(known: Labels) -> dict[str, str]:
    """Model -> class of its group's style."""
    groups = list(known.groups.values())
    return {
        model: f"g{groups.index(style)}" if style in groups else "" for model, style in known.style.items()
    }


def _palettes(matrices: Iterable[Matrix]) -> list[dict[str, Any]]:
    """Shades of the palettes that the page needs, for a light and a dark screen."""
    names = sorted({found.scale.name for found in matrices})
    dark: dict[str, Palette] = {"sequential": "sequential-dark", "diverging": "diverging-dark"}
    return [{"letter": name[0], "light": shades(name), "dark": shades(dark[name])} for name in names]


def _cell_size(models: int) -> float:
    """Side of a cell in rem."""
    return next((size for most, size in ((6, 4.0), (12, 3.25), (24, 2.5), (45, 1.25)) if models <= most), 1.0)


def _asset(name: str) -> str:
    return (files("modelatlas.report") / "assets" / name).read_text(encoding="utf-8")
