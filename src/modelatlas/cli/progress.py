"""Progress of a chart: a live bar on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from modelatlas.cli import render

if TYPE_CHECKING:
    from modelatlas.run import Event

__all__ = ["ChartProgress"]

_SECONDS_BETWEEN_LINES = 10.0


class ChartProgress:
    """Shows the events of a run on stderr: count, rate, time left; nothing under `--quiet`."""

    def __init__(self) -> None:
        self._console = render.console(stderr=True)
        self._live = self._console.is_terminal and not render.is_quiet()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} images"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._live,
        )
        self._task: TaskID | None = None
        self._total = self._done = self._new = 0  # images times models: of the run, done, done in this call
        self._of_model = 0  # images done of the model under way
        self._began = self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        """Start the bar."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the bar, also after an error."""
        self._bar.stop()

    def __call__(self, event: "Event") -> None:
        """Show one event."""
        match event.kind:
            case "planned":
                self._plan(event)
            case "loading":
                self._describe(f"loading {event.model}")
            case "started":
                self._describe(event.model)
                self._of_model = event.done
                text = f"{event.model}: target layer {event.detail}, {event.batch} images a pass"
                render.note(text, detail=True)
            case "images":
                self._advance(event)
            case "halved":
                render.note(f"{event.model}: out of memory, so {event.batch} images a pass from now on")
            case "finished":
                render.note(f"{event.model}: {event.total} images done")
            case "excluded":
                render.warning(f"{event.model} left out: {event.detail}")
            case "comparing":
                self._describe(f"comparing by {event.detail}")

    def _plan(self, event: "Event") -> None:
        self._total, self._done = event.total, event.done
        self._began = self._last_line = time.monotonic()
        self._task = self._bar.add_task("charting", total=event.total, completed=event.done, rate="")
        if event.done < event.total:
            render.note(f"{event.total - event.done} of {event.total} images times models to chart")
        else:
            render.note("all maps are there")

    def _advance(self, event: "Event") -> None:
        """Count the images of a model that came since its last event."""
        self._done += max(event.done - self._of_model, 0)
        self._new += max(event.done - self._of_model, 0)
        self._of_model = event.done
        now = time.monotonic()
        rate = self._new / max(now - self._began, 1e-9)
        if self._task is not None:
            self._bar.update(self._task, completed=self._done, rate=f"{rate:.1f} images/s")
        if not self._live and now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            left = (self._total - self._done) / rate if rate else float("inf")
            render.note(f"{self._done}/{self._total} images, {rate:.1f} images/s, about {left:.0f} s left")

    def _describe(self, text: str) -> None:
        if self._task is not None:
            self._bar.update(self._task, description=text)
