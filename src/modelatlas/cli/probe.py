"""`modelatlas probe`: sets of images that models are shown."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from modelatlas.cli import render
from modelatlas.cli.command import AsJson, command, group
from modelatlas.cli.progress import ProbeProgress

__all__ = ["app", "build", "list_probes", "show"]

app = group("Probes: the sets of images that models are shown.")

_Probe = Annotated[
    str,
    typer.Argument(metavar="PROBE", help="A built-in probe's name, a folder of pictures, or a manifest."),
]
_Images = Annotated[
    int | None,
    typer.Option("--images", "-n", min=1, help="Images to take [default: all].", show_default=False),
]
_Seed = Annotated[int, typer.Option("--seed", help="Of the images' order.")]

_SHOWN = 10


def list_probes(as_json: AsJson = False) -> None:
    """List the built-in probes."""
    from modelatlas.probe import builtin_probes

    probes = builtin_probes()
    if as_json:
        render.document([{"name": name, "summary": summary} for name, summary in probes.items()])
        return
    render.table(("probe", "what it shows"), list(probes.items()))
    render.note("A folder of pictures is a probe as well: modelatlas probe show FOLDER")


def show(probe: _Probe, images: _Images = None, seed: _Seed = 0, as_json: AsJson = False) -> None:
    """Say what a probe holds: number, sizes, origin, licences, digest, and what is left out."""
    from modelatlas.probe import open_probe

    with ProbeProgress() as progress:
        opened = open_probe(probe, images=images, seed=seed, progress=progress)
    if as_json:
        manifest = opened.manifest()
        for image in manifest["images"]:
            # A file's name need not be Unicode, printed text must be; the id shows such bytes as escapes.
            image["path"] = image["path"].encode("utf-8", "replace").decode()
        render.document(manifest)
        return
    sides = sorted(min(image.width, image.height) for image in opened.images)
    photographs = {image.photograph for image in opened.images} - {None}
    licences = Counter(image.licence or "not stated" for image in opened.images)
    rows = [
        ("images", f"{len(opened)}" + (f" of {opened.pool}" if opened.pool != len(opened) else "")),
        ("photographs", str(len(photographs) or len(opened))),
        ("shorter side", f"{sides[0]} to {sides[-1]} pixels, median {sides[len(sides) // 2]}"),
        ("source", opened.source),
        ("order", f"{opened.rule} (seed {opened.seed})"),
        ("first", ", ".join(image.id for image in opened.images[:5])),
        ("licence", ", ".join(f"{name}: {count}" for name, count in licences.most_common())),
        ("digest", opened.digest),
        ("left out", str(len(opened.left_out))),
    ]
    render.table(("", opened.name), rows)
    for number, left in enumerate(opened.left_out):
        render.note(f"left out: {left.item}: {left.reason}", detail=number >= _SHOWN)
    if len(opened.left_out) > _SHOWN:
        render.note(f"{len(opened.left_out)} files were left out; --verbose names all of them")


def build(
    probe: _Probe,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to make.")],
    images: _Images = None,
    seed: _Seed = 0,
) -> None:
    """Write a probe's centre squares, a manifest and the licences to a folder."""
    from modelatlas.probe import build_probe

    with ProbeProgress() as progress:
        manifest = build_probe(probe, out, images=images, seed=seed, progress=progress)
    render.note(f"wrote {manifest}")


command(app, name="list", example="modelatlas probe list --json")(list_probes)
command(app, example="modelatlas probe show photos --images 60")(show)
command(app, example="modelatlas probe build photos --out my-probe --images 60")(build)
