"""The engine without processes: for debugging, and where a model's process must be one's own."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from modelatlas.probe import Probe
from modelatlas.run.events import Progress
from modelatlas.run.task import ModelTask
from modelatlas.run.worker import chart_model, identify
from modelatlas.store import worker_lock

__all__ = ["HereEngine"]


class HereEngine:
    """Charts in this process. A model that takes its process down takes this one down."""

    def __init__(self, root: Path, probe: Probe) -> None:
        self._root, self._probe = root.absolute(), probe  # a model may change the folder
        self._held = ExitStack()
        self._locked = False

    def __enter__(self) -> "HereEngine":
        """Start nothing yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the worker lock go."""
        self._held.close()

    def chart(self, task: ModelTask, progress: Progress) -> None:
        """Chart what is missing of one model."""
        if not self._locked:
            self._held.enter_context(worker_lock(self._root))
            self._locked = True
        chart_model(task, self._probe, self._root, progress)

    def identify(self, task: ModelTask) -> str:
        """Give the digest of a model's weights."""
        return identify(task)
