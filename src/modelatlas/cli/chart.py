"""`modelatlas chart`: attribute, compare, cluster, draw."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelatlas._types import DEFAULT_METHOD, METHODS
from modelatlas.cli import render
from modelatlas.cli.command import AsJson
from modelatlas.cli.progress import ChartProgress
from modelatlas.errors import IncompleteError, InputError

if TYPE_CHECKING:
    from modelatlas.atlas import Atlas

__all__ = ["chart"]

_PAIRS = 5
_REPORT = "report.html"


def chart(
    zoo: Annotated[
        str, typer.Argument(help="A built-in zoo's name, a zoo file, or specs with commas between them.")
    ],
    probe: Annotated[
        str, typer.Option("--probe", help="A built-in probe's name, a folder of images, or a manifest.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder of the atlas; goes on in an old one.")
    ],
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method", "-m", help=f"{', '.join(METHODS)}; repeatable [default: all].", show_default=False
        ),
    ] = None,
    images: Annotated[int | None, typer.Option("--images", "-n", min=1, help="Probe images to use.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the order of the probe's images.")] = 0,
    until: Annotated[
        float | None,
        typer.Option(
            "--until", metavar="W", help="Stop when every affinity is known to +-W (95 %), as in 0.02."
        ),
    ] = None,
    grid: Annotated[int, typer.Option("--grid", help="Cells along each axis of a stored map.")] = 64,
    layer: Annotated[str | None, typer.Option("--layer", help="Target layer; for a single spec.")] = None,
    epsilon: Annotated[float, typer.Option("--epsilon", help="Of epsilon-lrp.")] = 1e-4,
    batch: Annotated[str, typer.Option("--batch", help="Images a pass, or auto.")] = "auto",
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    precision: Annotated[str, typer.Option("--precision", help="float32, float64, bf16, auto.")] = "float32",
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Processor threads.")] = None,
    similarity: Annotated[
        str, typer.Option("--similarity", help="Of two maps: cosine (the paper's) or correlation.")
    ] = "cosine",
    linkage: Annotated[
        str, typer.Option("--linkage", help="Of the tree: single, average, complete, ...")
    ] = "single",
    patience: Annotated[
        float,
        typer.Option(
            "--patience",
            metavar="SECONDS",
            help="Leave out a model that neither loads nor finishes a batch so long.",
        ),
    ] = 3600.0,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", help="Model to leave out; repeatable.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Status 1 if anything was left out.")] = False,
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="Run code that a spec names (python:).")
    ] = False,
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Measure a few batches; tell time, memory and disk; chart nothing."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Chart a zoo: attribution maps, affinities, tree, figures and report.

    A run that was stopped goes on where it was; more images, models or methods extend an atlas.
    """
    from modelatlas.atlas import open_atlas
    from modelatlas.charting import chart as draw_chart

    words: dict[str, Any] = {
        "images": images,
        "layer": layer,
        "exclude": tuple(exclude or ()),
        "trust_code": trust_code,
    }
    fixed: dict[str, Any] = {
        "methods": tuple(method or METHODS),
        "seed": seed,
        "grid": grid,
        "epsilon": epsilon,
        "batch": _batch(batch),
        "device": device,
        "precision": precision,
        "threads": threads,
        "similarity": similarity,
        "linkage": linkage,
        "patience": patience,
    }
    if estimate:
        if until is not None:
            raise InputError("--estimate is of a number of images: give --images instead of --until")
        _estimate(zoo, probe, out, fixed, words, as_json=as_json)
        return
    problem = None
    with ChartProgress() as progress:
        try:
            draw_chart(zoo, probe, out, **fixed, **words, strict=strict, until=until, progress=progress.show)
        except IncompleteError as error:
            problem = error
    atlas = open_atlas(out)
    if as_json:
        render.document(_document(atlas, out))
    elif atlas.names:
        _show(atlas, out)
    if problem is not None:
        raise problem


def _estimate(
    zoo: str, probe: str, out: Path, fixed: dict[str, Any], words: dict[str, Any], *, as_json: bool
) -> None:
    """Measure and tell what a run would take."""
    from modelatlas.charting import as_settings
    from modelatlas.estimating import estimate

    with render.models_aside(), ChartProgress() as progress:  # the models run in this very process
        found = estimate(zoo, probe, out, as_settings(**fixed), **words, progress=progress.show)
    if as_json:
        render.document(found.as_dict())
        return
    rows = [
        [model.model, model.left, model.rate, model.fixed, model.seconds, model.reason or ""]
        for model in found.models
    ]
    render.table(["model", "images left", "s an image", "s once", "seconds", ""], rows)
    render.note(
        f"about {found.seconds:.0f} s in all (comparing {found.compare_seconds:.0f} s, figures and report "
        f"{found.report_seconds:.0f} s), {found.memory / 1e9:.1f} GB of memory, {found.disk / 1e6:.0f} MB of "
        f"disk. Measured in {found.measuring_seconds:.0f} s, this machine as busy as it is; nothing charted"
    )


def _batch(text: str) -> int | str:
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError:
        raise InputError(f"--batch {text!r}: give a whole number of images, or auto") from None


def _nearest(atlas: "Atlas") -> tuple[str, list[dict[Hashable, Any]]]:
    """Find the nearest pairs (`first`, `second`, `affinity`, `low`, `high`), and say by which method."""
    method = DEFAULT_METHOD if DEFAULT_METHOD in atlas.methods else atlas.methods[0]
    pairs = atlas.interval(method)
    once = pairs[
        [atlas.names.index(a) < atlas.names.index(b) for a, b in zip(pairs.source, pairs.target, strict=True)]
    ]
    best = once.sort_values(["affinity", "source", "target"], ascending=[False, True, True], kind="stable")
    return method, best.rename(columns={"source": "first", "target": "second"}).head(_PAIRS).to_dict(
        "records"
    )


def _document(atlas: "Atlas", out: Path) -> dict[str, Any]:
    method, pairs = _nearest(atlas) if atlas.names else (DEFAULT_METHOD, [])
    return {
        "atlas": str(out),
        "report": str(out / _REPORT) if atlas.names else None,
        "images": len(atlas.images()),
        "methods": list(atlas.methods),
        **({"until": atlas.settings["until"]} if "until" in atlas.settings else {}),
        "models": [
            {
                "name": model.name,
                "spec": model.spec,
                "status": model.status,
                "trained": model.trained,
                "seconds": model.seconds,
                **({} if model.charted else {"reason": model.reason}),
            }
            for model in atlas.models
        ],
        "left_out": [{"item": left.item, "reason": left.reason} for left in atlas.left_out],
        "nearest": {"method": method, "pairs": pairs},
    }


def _show(atlas: "Atlas", out: Path) -> None:
    from modelatlas.atlas import UNTRAINED

    method, pairs = _nearest(atlas)
    if rows := [list(pair.values()) for pair in pairs]:
        render.table(
            ["nearest models", "", "affinity", "95 % low", "high"],
            [[atlas.label(first), atlas.label(second), *ends] for first, second, *ends in rows],
            title=f"By {atlas.basis(method)}, {len(atlas.images())} images",
        )
    models = []
    for model in atlas.models:
        state = model.status if model.charted else f"left out: {model.reason}"
        name = model.name if model.trained else model.name + UNTRAINED
        models.append([name, model.layer, model.seconds, state])
    render.table(["model", "target layer", "seconds", ""], models)
    if "until" in atlas.settings:
        render.note(_where_stopped(atlas.settings["until"]))
    for left in atlas.left_out:
        render.note(f"not used: {left.item}: {left.reason}")
    render.note(f"report: {out / _REPORT}")


def _where_stopped(stop: Mapping[str, Any]) -> str:
    """Tell how many images it took to know every affinity well enough."""
    used = f"{stop['images']} of {stop['available']} images"
    if (widest := stop["widest"]) is None:
        return f"used {used}: there are no two models to compare"
    least = f"{widest['source']} and {widest['target']} by {widest['method']}: +-{widest['half_width']:.4f}"
    if not stop["reached"]:
        return f"used all {used}, and not every affinity is within +-{stop['half_width']:g} yet ({least})"
    return f"used {used}, {stop['saved']:.0%} of the work saved; least known: {least}"
