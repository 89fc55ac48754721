"""What the commands print: tables and notes for people, one JSON document for programs."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = [
    "cell",
    "console",
    "document",
    "error",
    "is_quiet",
    "models_aside",
    "note",
    "set_level",
    "table",
    "warning",
]

_level = {"quiet": False, "verbose": False}


def set_level(*, quiet: bool, verbose: bool) -> None:
    """Set how much the running command prints."""
    _level.update(quiet=quiet, verbose=verbose)


def is_quiet() -> bool:
    """Tell whether only results and errors are to be printed."""
    return _level["quiet"]


def console(*, stderr: bool = False) -> Console:
    """Console on stdout (results) or stderr (all else), made anew so that it follows redirection."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)


def document(value: Any) -> None:
    """Print one JSON document on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def models_aside() -> Iterator[None]:
    """Send to stderr what models print while they are built or run: stdout is for results."""
    with redirect_stdout(sys.stderr):
        yield


def note(text: str, *, detail: bool = False) -> None:
    """Print a line on stderr, unless `--quiet`; with `detail` only under `--verbose`."""
    if not _level["quiet"] and (_level["verbose"] or not detail):
        console(stderr=True).print(text)


def warning(text: str) -> None:
    """Print a warning on stderr; it is shown under `--quiet` too."""
    console(stderr=True).print(Text(f"warning: {text}", style="yellow"))


def error(text: str) -> None:
    """Print an error on stderr, as one line."""
    console(stderr=True).print(Text("error: " + " ".join(text.split()), style="red"))


def cell(value: Any) -> str:
    """Text of a table's cell: numbers with four digits, a dash for what is undefined."""
    if value is None or value != value:
        return "–"
    if isinstance(value, float):
        return f"{value:.4f}"
    return str(value)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str | None = None) -> None:
    """Print a table on stdout; columns that hold only numbers are set to the right."""
    out = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        numeric = all(isinstance(row[index], int | float | None) for row in rows)
        out.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        out.add_row(*(Text(cell(value)) for value in row))
    printer = console()
    if not printer.is_terminal:  # in a pipe there is no width to fit into: a row stays a line
        printer.width = 1000
    printer.print(out)
