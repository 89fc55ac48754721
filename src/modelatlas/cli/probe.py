"""`modelatlas probe`: sets of images that models are shown."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelatlas.cli import render
from modelatlas.cli.command import AsJson, command, group
from modelatlas.cli.progress import ProbeProgress

if TYPE_CHECKING:
    from modelatlas.probe import OnDisk, Texture

__all__ = ["app", "build", "fetch", "list_probes", "show"]

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
_Root = Annotated[
    Path | None,
    typer.Option("--root", metavar="DIR", help="Folder of the data set (taskonomy, indoor, coco)."),
]
_List = Annotated[
    Path | None,
    typer.Option(
        "--list", metavar="FILE", help="The data set's images, one path a line [default: the authors' list]."
    ),
]
_Draw = Annotated[
    bool, typer.Option("--draw", help="Choose the data set's images by the paper's rule and --seed.")
]

_SHOWN = 10


def list_probes(as_json: AsJson = False) -> None:
    """List the built-in probes."""
    from modelatlas.errors import InputError
    from modelatlas.probe import builtin_probes, data_folder, published_probes

    rows = [{"name": name, "summary": summary} for name, summary in builtin_probes().items()]
    for known in published_probes().values():
        try:
            place = str(data_folder(known))
        except InputError:
            place = (
                f"`modelatlas probe fetch {known.name}`" if known.archive else "--root DIR of `probe build`"
            )
        rows.append({"name": known.name, "summary": known.summary, "from": place})
    if as_json:
        render.document(rows)
        return
    render.table(
        ("probe", "what it shows", "from"),
        [(row["name"], row["summary"], row.get("from", "")) for row in rows],
    )
    render.note("A folder of pictures is a probe as well: modelatlas probe show FOLDER")


def show(
    probe: _Probe,
    images: _Images = None,
    seed: _Seed = 0,
    root: _Root = None,
    listing: _List = None,
    draw: _Draw = False,
    as_json: AsJson = False,
) -> None:
    """Say what a probe holds: number, sizes, texture, origin, licences, digest, and what is left out."""
    from modelatlas.probe import open_probe, probe_texture

    with ProbeProgress() as progress:
        on_disk = _on_disk(root, listing, draw)
        opened = open_probe(probe, images=images, seed=seed, on_disk=on_disk, progress=progress)
        texture = probe_texture(opened, progress=progress)
    if as_json:
        render.document(opened.manifest() | {"texture": asdict(texture)})
        return
    sides = sorted(min(image.width, image.height) for image in opened.images)
    photographs = {image.photograph for image in opened.images} - {None}
    licences = Counter(image.licence or "not stated" for image in opened.images)
    rows = [
        ("images", f"{len(opened)}" + (f" of {opened.pool}" if opened.pool != len(opened) else "")),
        ("photographs", str(len(photographs) or len(opened))),
        ("shorter side", f"{sides[0]} to {sides[-1]} pixels, median {sides[len(sides) // 2]}"),
        *_texture_rows(texture),
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
    root: _Root = None,
    listing: _List = None,
    draw: _Draw = False,
) -> None:
    """Write a probe's centre squares, a manifest and the licences to a folder."""
    from modelatlas.probe import build_probe

    with ProbeProgress() as progress:
        on_disk = _on_disk(root, listing, draw)
        manifest = build_probe(probe, out, images=images, seed=seed, on_disk=on_disk, progress=progress)
    render.note(f"wrote {manifest}")


def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="indoor or coco.")],
    listing: _List = None,
    archive: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="The official archive, got by hand.")
    ] = None,
) -> None:
    """Bring the images of a published set out of its official archive into the cache."""
    from modelatlas.probe import fetch_published

    with ProbeProgress() as progress:
        folder = fetch_published(name, listing=listing, archive=archive, progress=progress)
    render.note(f"{name} lies in {folder}; chart it with --probe {name}")


def _on_disk(root: Path | None, listing: Path | None, draw: bool) -> "OnDisk | None":
    from modelatlas.errors import InputError
    from modelatlas.probe import OnDisk

    if listing is not None and draw:
        raise InputError("--list names the images and --draw chooses others; keep one of the two")
    return OnDisk(root, listing, draw) if root is not None or listing is not None or draw else None


def _texture_rows(texture: "Texture") -> list[tuple[str, str]]:
    energy, slope = texture.gradient_energy, texture.spectrum_slope
    return [
        ("gradient energy", f"{energy.mean:.4g} (deviation {energy.deviation:.2g} between images)"),
        (
            "spectrum slope",
            "none: all images are flat"
            if slope is None
            else f"{slope.mean:.2f} (deviation {slope.deviation:.2f} between images)",
        ),
    ]


command(app, name="list", example="modelatlas probe list --json")(list_probes)
command(app, example="modelatlas probe show photos --images 60")(show)
command(app, example="modelatlas probe build taskonomy --root DIR --out my-taskonomy")(build)
command(app, example="modelatlas probe fetch coco")(fetch)
