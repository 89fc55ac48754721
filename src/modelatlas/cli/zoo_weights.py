"""`modelatlas zoo fetch`, `convert`, `verify`: weights onto this machine, into safetensors, and checked."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from modelatlas.cli import render
from modelatlas.cli.command import AsJson, command
from modelatlas.cli.zoo import TrustCode, app

if TYPE_CHECKING:
    from modelatlas.zoo import ZooEntry

__all__ = ["app", "convert", "fetch", "verify"]

_Models = Annotated[str, typer.Argument(metavar="NAME|ZOO", help="A model, a spec, or a zoo.")]


def fetch(
    zoo: _Models,
    file: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Archive or weights file, got by hand.")
    ] = None,
) -> None:
    """Fetch weights into the cache before they are needed; what fails does not stop the others."""
    from modelatlas.errors import InputError, ModelAtlasError
    from modelatlas.zoo import fetch_weights

    entries = _entries(zoo)
    if file is not None and len(entries) != 1:
        raise InputError(
            f"--from names the file of one model, and {zoo} has {len(entries)}; fetch them one by one"
        )
    failed = []
    for number, entry in enumerate(entries, start=1):
        render.note(f"{number} of {len(entries)}: {entry.name}")
        with _transfer_bar() as bar:
            task = bar.add_task(entry.name, total=None)
            try:
                paths = fetch_weights(
                    entry.spec,
                    file=file,
                    progress=lambda done, total: bar.update(task, completed=done, total=total),  # noqa: B023
                )
            except ModelAtlasError as error:
                if len(entries) == 1:
                    raise
                failed.append(entry.name)
                render.note(f"not fetched: {error}")
                continue
        for path in paths:
            typer.echo(f"{entry.name}\t{path}")
    if failed:
        render.note(f"{len(failed)} of {len(entries)} not fetched: {', '.join(failed)}")
        raise typer.Exit(1)


def convert(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="A model spec, or a built-in zoo's model.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.safetensors", help="File to write.")],
    file: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Checkpoint to take instead.")
    ] = None,
    trust_code: TrustCode = False,
) -> None:
    """Write a model's weights as safetensors, with a card beside it (FILE.json)."""
    from modelatlas.zoo import convert as convert_weights
    from modelatlas.zoo import find_model

    with render.models_aside():
        done = convert_weights(find_model(spec).spec, out, file=file, trust_code=trust_code)
    if done.unused:
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(done.unused.items()))
        render.note(f"not used: {told}")
    typer.echo(done.weights)
    typer.echo(done.card)


def verify(zoo: _Models, as_json: AsJson = False, trust_code: TrustCode = False) -> None:
    """Check that weights are whole, belong to their models, and agree with the cards."""
    from modelatlas.zoo import verify as verify_weights

    rows = []
    for entry in _entries(zoo):
        with render.models_aside():
            found = verify_weights(entry.spec, trust_code=trust_code)
        rows.append(
            {"name": entry.name, "problems": list(found.problems), "weights_digest": found.weights_digest}
        )
        if not as_json:
            typer.echo(f"{entry.name}\t{'; '.join(found.problems) or 'right'}")
    if as_json:
        render.document(rows)
    if any(row["problems"] for row in rows):
        raise typer.Exit(1)


def _entries(zoo: str) -> "tuple[ZooEntry, ...]":
    """Models of a zoo, or the one model that is named."""
    from modelatlas.zoo import builtin_zoos, find_model, read_zoo

    if zoo in builtin_zoos() or zoo.endswith(".toml") or "," in zoo:
        return read_zoo(zoo).entries
    return (find_model(zoo),)


def _transfer_bar() -> Progress:
    """Make a bar with size, rate and time left; nothing off a terminal or under `--quiet`."""
    console = render.console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    hidden = render.is_quiet() or not console.is_terminal
    return Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=hidden)


command(app, example="modelatlas zoo fetch taskonomy")(fetch)
command(app, example="modelatlas zoo convert slim:vgg_16 --from vgg_16.ckpt --out vgg_16.safetensors")(
    convert
)
command(app, example="modelatlas zoo verify taskonomy")(verify)
