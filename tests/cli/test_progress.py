"""Lines of progress, of the events that a run tells."""

import pytest

from modelatlas.cli import progress, render
from modelatlas.cli.progress import ChartProgress
from modelatlas.run import Event


def test_a_model_that_starts_again_is_not_counted_twice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As when its worker died before its maps were stored: two models, eight images each."""
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    render.set_level(quiet=False, verbose=False)
    with ChartProgress() as shown:
        shown.show(Event("planned", total=16))
        for model, counts in (("a", (4, 6)), ("a", (4, 8)), ("b", (8,))):
            shown.show(Event("started", model))
            for done in counts:
                shown.show(Event("images", model, done=done, total=8))
    lines = [line.split(" images")[0] for line in capsys.readouterr().err.splitlines() if "charting:" in line]
    assert lines == [f"charting: {done} of 16" for done in (4, 6, 4, 8, 16)]
