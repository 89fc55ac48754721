"""The app: its commands, and errors turned into exit codes.

Status 0 done, 1 failed, 2 wrong usage or input (nothing was run or written), 130 interrupted.
"""

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, cast

import typer

from modelatlas import __version__
from modelatlas.cli import cache, probe, render, zoo_weights
from modelatlas.cli.chart import chart
from modelatlas.cli.command import command, group
from modelatlas.cli.compare import compare
from modelatlas.cli.doctor import doctor
from modelatlas.cli.evaluate import evaluate
from modelatlas.cli.maps import maps
from modelatlas.cli.rank import rank
from modelatlas.cli.report import report
from modelatlas.errors import ModelAtlasError

__all__ = ["app", "main", "run"]

app = group("Which pretrained models are close to which, and which to start from: no labels, no training.")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"modelatlas {__version__}")
        raise typer.Exit


@app.callback()
def _app(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


command(app, example="modelatlas chart demo --probe photos --images 60 --out my-atlas")(chart)
command(app, example="modelatlas rank efficientnet-lite0 --in my-atlas -k 3")(rank)
command(app, example="modelatlas evaluate --in my-atlas --reference measured.csv")(evaluate)
command(app, example="modelatlas compare my-atlas other-atlas --json")(compare)
command(app, example="modelatlas maps my-atlas --model xfeat --image 0 --out maps.png")(maps)
command(app, example="modelatlas report my-atlas")(report)
app.add_typer(zoo_weights.app, name="zoo")
app.add_typer(probe.app, name="probe")
command(app, example="modelatlas cache --prune")(cache.cache)
command(app, example="modelatlas doctor")(doctor)

# Typer carries its own copy of click in new versions: the usage error is found through a public subclass.
_UsageError = cast(type[typer.BadParameter], typer.BadParameter.__mro__[1])


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status; errors are one line on stderr."""
    verbose = "--verbose" in arguments or "-v" in arguments
    try:
        status = app(list(arguments), prog_name="modelatlas", standalone_mode=False)
    except ModelAtlasError as problem:
        if verbose:
            traceback.print_exc()
        render.error(str(problem))
        return problem.exit_status
    except _UsageError as problem:
        render.error(f"{problem.format_message()} (see `modelatlas --help`)")
        return 2
    except Exception as problem:
        if verbose:
            traceback.print_exc()
        render.error(f"{type(problem).__name__}: {problem} (a bug? `--verbose` shows where)")
        return 1
    return status if isinstance(status, int) else 0


def main() -> None:
    """Run the command line of this process and end it; `start` is what the `modelatlas` command calls."""
    sys.exit(run(sys.argv[1:]))
