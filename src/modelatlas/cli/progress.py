"""Progress of long work: a live bar on a terminal, a plain line now and then elsewhere, nothing if quiet."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from modelatlas.cli import render

if TYPE_CHECKING:
    from modelatlas.run import Event

__all__ = ["ChartProgress", "ProbeProgress"]

_SECONDS_BETWEEN_LINES = 10.0


class _Bar:
    """One stage after another, each with count, rate and time left, on stderr."""

    def __init__(self) -> None:
        console = render.console(stderr=True)
        self._live = console.is_terminal and not render.is_quiet()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not self._live,
        )
        self._begin("", 0, 0)

    def __enter__(self) -> Self:
        """Start the bar."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the bar, also after an error."""
        self._bar.stop()

    def _begin(self, stage: str, done: int, total: int) -> None:
        """Begin a stage of which `done` of `total` images are there already."""
        for task in self._bar.task_ids:
            self._bar.remove_task(task)
        self._stage, self._total, self._at_start, self._done = stage, total, done, done
        self._began = self._last_line = time.monotonic()
        self._task = self._bar.add_task(stage, total=total, completed=done, rate="")

    def _describe(self, text: str) -> None:
        self._bar.update(self._task, description=text)

    def _count(self, done: int) -> None:
        """Show that `done` images of the stage are through."""
        self._done, now = min(done, self._total), time.monotonic()
        rate = (self._done - self._at_start) / max(now - self._began, 1e-3)
        self._bar.update(self._task, completed=self._done, rate=f"{rate:.1f} images/s")
        if not self._live and now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            left = f", about {(self._total - self._done) / rate:.0f} s left" if rate else ""
            render.note(f"{self._stage}: {self._done} of {self._total} images, {rate:.1f} images/s{left}")


class ProbeProgress(_Bar):
    """Shows how far a probe is opened or built."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that `done` of `total` images are through this stage."""
        if stage != self._stage:
            self._begin(stage, 0, total)
        self._count(done)


class ChartProgress(ProbeProgress):
    """Shows the events of a run: its probe's, then images times models."""

    _model, _of_model = "", 0  # the model under way, and its images that are done

    def show(self, event: "Event") -> None:
        """Show one event."""
        match event.kind:
            case "probe":
                self(event.detail, event.done, event.total)
            case "fewer":
                render.note(
                    f"{event.done} of the {event.total} images asked for: the probe has no more to use"
                )
            case "planned" if event.detail:
                self._begin(event.detail, event.done, event.total)
            case "planned":
                self._begin("charting", event.done, event.total)
                left = event.total - event.done
                render.note(
                    f"{left} of {event.total} images times models to chart" if left else "all maps are there"
                )
            case "loading":
                self._describe(f"loading {event.model}")
            case "started":
                self._describe(event.model)
                if event.model == self._model:  # started again: what was not stored yet is done once more
                    self._done -= max(self._of_model - event.done, 0)
                self._model, self._of_model = event.model, event.done
                text = f"{event.model}: target layer {event.detail}, {event.batch} images a pass"
                render.note(text, detail=True)
            case "images":
                self._count(self._done + max(event.done - self._of_model, 0))
                self._of_model = event.done
            case "halved":
                render.note(f"{event.model}: out of memory, so {event.batch} images a pass from now on")
            case "finished":
                render.note(f"{event.model}: {event.total} images done")
            case "excluded":
                render.warning(f"{event.model} left out: {event.detail}")
                if event.trace:
                    render.note(event.trace, detail=True)
            case "comparing":
                self._describe(f"comparing by {event.detail}")
