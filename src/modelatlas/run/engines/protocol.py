"""What carries out the work of a run: here, or in processes of its own."""

from types import TracebackType
from typing import Protocol, runtime_checkable

from modelatlas.run.events import Progress
from modelatlas.run.task import ModelTask

__all__ = ["Engine"]


@runtime_checkable
class Engine(Protocol):
    """Charts one model after another into one atlas. A context manager: leaving it ends its processes.

    `chart` and `identify` raise as `worker.chart_model` and `worker.identify` do; also where the model
    takes its process down.
    """

    def __enter__(self) -> "Engine":
        """Make ready; nothing is started before it is needed."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End at once: what is not in its place by now is charted again by the next run."""
        ...

    def chart(self, task: ModelTask, progress: Progress) -> None:
        """Chart what is missing of one model."""
        ...

    def identify(self, task: ModelTask) -> str:
        """Give the digest of a model's weights."""
        ...
