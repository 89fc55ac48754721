"""How every command is declared: the options all of them share, and an example in its help."""

import inspect
import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from modelatlas.cli import render
from modelatlas.errors import ModelAtlasError

__all__ = ["AsJson", "InAtlas", "MethodOption", "StoppedError", "command", "group"]

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout and nothing else.")]
InAtlas = Annotated[str, typer.Option("--in", metavar="DIR", help="Folder of an atlas.")]
MethodOption = Annotated[
    str | None,
    typer.Option(
        "--method",
        "-m",
        help="Attribution method [default: gradient-x-input, or the only one].",
        show_default=False,
    ),
]

_SHARED = {
    "quiet": Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")],
    "verbose": Annotated[
        bool, typer.Option("--verbose", "-v", help="Print details, and tracebacks of errors.")
    ],
}


class StoppedError(ModelAtlasError):
    """Ctrl-C. Typer has an ending of its own for it, without a word on how to go on."""

    exit_status = 130

    def __init__(self) -> None:
        super().__init__("interrupted: what was finished is kept; run the same command again to go on")


def group(help_text: str) -> typer.Typer:
    """Make an app that holds commands; without arguments it shows its help."""
    return typer.Typer(
        help=help_text, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
    )


def command(
    app: typer.Typer, *, example: str, name: str | None = None
) -> Callable[[Callable[..., Any]], Any]:
    """Register a function as a command of `app` that also takes `--quiet` and `--verbose`.

    Parameters
    ----------
    app
        The app that gets the command.
    example
        A command line, shown below the help.
    name
        The command's name; the function's by default.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def run(*args: Any, quiet: bool = False, verbose: bool = False, **kwargs: Any) -> Any:
            render.set_level(quiet=quiet, verbose=verbose)
            try:
                return function(*args, **kwargs)
            except KeyboardInterrupt as interrupt:
                raise StoppedError from interrupt
            except BrokenPipeError:
                # Whoever read our output has gone, as `head` does: no failure. Typer would make it status 1;
                # and Python must not flush into the pipe at its end.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return None

        signature = inspect.signature(function)
        extra = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
            for key, kind in _SHARED.items()
        ]
        # Typer reads the signature and the annotations of what it is given, not of what `wraps` points to.
        run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *extra])  # type: ignore[attr-defined]
        run.__annotations__ = {**function.__annotations__, **_SHARED}
        app.command(name or function.__name__.replace("_", "-"), epilog=f"Example: {example}")(run)
        return function

    return register
