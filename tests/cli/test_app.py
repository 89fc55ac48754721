"""The frame of the command line: help, exit statuses, one-line errors, quiet and verbose."""

import os
import subprocess
import sys

import pytest
import typer

from modelatlas import __version__
from modelatlas.cli import app as frame
from modelatlas.cli import render
from modelatlas.cli.command import command, group
from modelatlas.errors import InputError, ModelAtlasError


def commands() -> list[list[str]]:
    """Every command of the app, as its words."""
    found: list[list[str]] = []

    def walk(node: object, words: list[str]) -> None:
        below = getattr(node, "commands", None)
        if below is None:
            found.append(words)
            return
        for name, child in below.items():
            walk(child, [*words, name])

    walk(typer.main.get_command(frame.app), [])
    return found


def modelatlas(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "modelatlas.cli", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200", **env},
        check=False,
    )


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_has_help_with_an_example_and_the_shared_options(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert frame.run([*words, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"Example: modelatlas {' '.join(words)}" in out
    assert "--quiet" in out
    assert "--verbose" in out


def test_version() -> None:
    done = modelatlas("--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"modelatlas {__version__}")


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["rank"],
        ["rank", "a", "--in", "x", "-k", "0"],
        ["chart", "--no-such-option"],
        ["zoo", "nonsense"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_status_2_and_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run(words) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith("error: ")
    assert streams.err.count("\n") == 1


def test_missing_atlas_is_status_2_and_names_the_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run(["rank", "a", "--in", "no-such-folder"]) == 2
    error = capsys.readouterr().err
    assert "no-such-folder" in error
    assert error.count("\n") == 1


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """An app with one command `fail`, which raises what the test puts into the list."""
    raised: list[BaseException] = []
    app = group("Test.")

    @app.callback()
    def _frame() -> None:
        pass

    def fail() -> None:
        render.note("a note")
        render.note("a detail", detail=True)
        if raised:
            raise raised[0]

    command(app, example="modelatlas fail")(fail)
    monkeypatch.setattr(frame, "app", app)
    return raised


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (InputError("this\nis wrong"), 2),
        (ModelAtlasError("failed"), 1),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("division by zero"), 1),
    ],
)
def test_errors_become_exit_statuses(
    failing: list[BaseException], problem: BaseException, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    failing.append(problem)
    assert frame.run(["fail", "--quiet"]) == status
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "Traceback" not in error
    assert frame.run(["fail", "--verbose"]) == status
    if isinstance(problem, Exception):
        assert "Traceback" in capsys.readouterr().err


def test_quiet_and_verbose_choose_the_notes(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    shown = {}
    for option in ([], ["--quiet"], ["--verbose"]):
        assert frame.run(["fail", *option]) == 0
        shown["".join(option)] = capsys.readouterr().err.split("\n")[:-1]
    assert shown == {"": ["a note"], "--quiet": [], "--verbose": ["a note", "a detail"]}


def test_a_reader_that_closes_the_pipe_is_no_failure() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "modelatlas.cli", "probe", "list", "--json"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_importing_the_package_and_its_command_line_loads_no_torch() -> None:
    code = "import sys, modelatlas, modelatlas.cli.app; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
