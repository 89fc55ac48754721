"""The engine with a worker process, so that a model that takes its process down is one exclusion.

The worker is a plain `python` with our own small talk over its pipes, not `multiprocessing`: a script that
calls `chart` at its top level is not run again in the worker, and torch is imported once per run. Down go
pickles (our own tasks and probe), up come lines of JSON (the worker runs foreign code). The worker dies
when its pipe closes, so it does not outlive this process however that ends. A model that changes what all
models share in the process (`globals`) was the worker's last one.
"""

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

from modelatlas import errors
from modelatlas.errors import ConflictError, ModelError
from modelatlas.probe import Probe
from modelatlas.run.events import Event, Progress, silent
from modelatlas.run.task import ModelTask, planned
from modelatlas.store import Layout

__all__ = ["ALLOCATOR", "ENVIRONMENT", "ApartEngine"]

_TAIL: Final = 4000
_CLOSED: Final = 1 << 16
"""In place of an exit status: the worker lives, but cannot answer any more."""
ALLOCATOR: Final = {
    # glibc gives every large activation back to the kernel, which clears its pages for the next one: 5 % of
    # the processor time of a ResNet-50 with huge pages, 14 % without (benchmarks/bench_allocator.py).
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
}
ENVIRONMENT: Final = {
    **ALLOCATOR,
    # Threads that wait by spinning burn the time that others could compute in: on two cores shared with other
    # programs, two threads took 2 to 9 times the processor time of one, waiting passively 1.1 times.
    "OMP_WAIT_POLICY": "PASSIVE",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # cuBLAS repeats its sums only with a fixed workspace
}
"""Of the worker, where the user's own says nothing else."""


class _Died(Exception):  # noqa: N818 - a message between two methods, not an error that anybody sees
    """The worker ended without an answer."""

    def __init__(self, status: int, said: str, *, silent_for: float | None) -> None:
        self.status = status
        self.said = said
        self.silent_for = silent_for
        super().__init__(status)

    @property
    def killed(self) -> bool:
        """Whether it was killed from outside, as the kernel does when memory runs out."""
        return self.silent_for is None and self.status == -getattr(signal, "SIGKILL", 9)

    def __str__(self) -> str:
        """Say how it ended, and its last words."""
        if self.silent_for is not None:
            return (
                f"nothing was loaded or computed for {self.silent_for:g} s, and its process was ended; "
                "--patience gives it longer"
            )
        if self.status == _CLOSED:
            how = "when it closed the pipe to the run"
        elif self.status < 0:
            try:
                how = f"by {signal.Signals(-self.status).name}"
            except ValueError:
                how = f"by signal {-self.status}"
        else:
            how = f"with exit status {self.status}"
        last = next((line.strip() for line in reversed(self.said.splitlines()) if line.strip()), "")
        return f"its process ended {how}" + (f" ({last[:200]})" if last else "")


_TICK: Final = 1.0
"""Seconds between two looks at the worker."""
_FAREWELL: Final = 5.0
"""Seconds that a worker has to end after it has closed its pipe."""


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker, and what its models have started and left behind."""
    if os.name == "posix":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


class _Watch:
    """Ends a process that is not heard of for some time; a context manager.

    It begins to count with the process's first word: what starting it takes is nobody's fault. Counted is the
    time in which this process runs: both may be stopped for hours. Where the worker has died, those that it
    leaves behind are ended, since they hold its pipe open.
    """

    def __init__(self, process: subprocess.Popen[bytes], patience: float) -> None:
        self.expired = False
        self._process, self._patience = process, patience
        self._word, self._over = threading.Event(), False
        self._thread = threading.Thread(target=self._wait, daemon=True)

    def __enter__(self) -> "_Watch":
        return self

    def __exit__(self, *error: object) -> None:
        self._over = True
        self._word.set()
        if self._thread.is_alive():
            self._thread.join()

    def heard(self) -> None:
        """Begin to wait, or begin anew."""
        self._word.set()
        if self._thread.ident is None:
            self._thread.start()

    def _wait(self) -> None:
        left = self._patience
        while left > 0 and self._process.poll() is None:
            tick = min(_TICK, left)
            if self._word.wait(tick):
                self._word.clear()
                left = self._patience
            else:
                left -= tick
            if self._over:
                return
        self.expired = left <= 0
        _kill(self._process)


class ApartEngine:
    """Charts in a worker process, which is started again after it died.

    Parameters
    ----------
    root
        The atlas folder.
    probe
        What every model is shown.
    """

    def __init__(self, root: Path, probe: Probe) -> None:
        self._root, self._probe = root.absolute(), probe  # a model may change the worker's folder
        self._worker: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        self._ready = self._spent = False

    def __enter__(self) -> "ApartEngine":
        """Let a worker import torch already, where there is no atlas yet and so surely something to do."""
        if not Layout(self._root).document.exists():
            self._worker = self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the worker at once."""
        self._end()

    def chart(self, task: ModelTask, progress: Progress) -> None:
        """Chart what is missing of one model; a worker that is killed is tried again with half the batch."""
        batch, lost = None, 0

        def told(event: Event) -> None:
            nonlocal batch
            if event.kind in ("started", "halved"):
                batch = event.batch
            progress(event)

        while True:
            try:
                self._ask("chart", task, told)
            except _Died as died:
                lost += 1
                if not died.killed or batch == 1 or (batch is None and lost > 1):
                    more = ", as when memory runs out" if died.killed else ""
                    raise ModelError(task.name, f"{died}{more}") from died
            except ConflictError as conflict:
                if not lost:
                    raise
                raise ModelError(
                    task.name, f"it cannot be gone on with after its process was killed: {conflict}"
                ) from conflict
            else:
                return
            if batch is not None:
                batch //= 2
                progress(Event("halved", task.name, total=task.images, batch=batch))
            task = planned(
                self._root, replace(task, batch=batch), [image.sha256 for image in self._probe.images]
            )

    def identify(self, task: ModelTask) -> str:
        """Give the digest of a model's weights."""
        try:
            return str(self._ask("identify", task, silent))
        except _Died as died:
            raise ModelError(task.name, str(died)) from died

    def _ask(self, what: str, task: ModelTask, progress: Progress) -> Any:
        """Send one piece of work and pass on what the worker tells until it answers."""
        worker = self._worker = self._worker or self._start()
        self._send(worker, (what, self._root, self._probe, task))
        assert worker.stdout is not None
        with _Watch(worker, task.settings.patience) as watch:
            if self._ready:
                watch.heard()
            for line in worker.stdout:
                watch.heard()
                if not line.endswith(b"\n"):
                    break  # it died in the middle of a word
                self._ready = True
                kind, value = json.loads(line)
                if kind == "ready":
                    continue
                if kind == "event":
                    progress(Event(**value))
                elif kind == "spent":
                    self._spent = True
                elif kind == "answer":
                    self._relieve()
                    return value
                else:
                    self._relieve()
                    parts, trace = value
                    error = getattr(errors, kind)(*parts)
                    error.add_note(f"In the worker process: {trace}")
                    raise error
        raise self._death(silent_for=task.settings.patience if watch.expired else None)

    def _start(self) -> subprocess.Popen[bytes]:
        """Start a worker with our import path; -P keeps the current folder from shadowing packages."""
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; from modelatlas.run.engines.inside import main; main()"
        )
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        return subprocess.Popen(
            [sys.executable, "-P", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**ENVIRONMENT, **os.environ},
            process_group=0 if os.name == "posix" else None,
        )

    def _send(self, worker: subprocess.Popen[bytes], work: object) -> None:
        assert worker.stdin is not None
        try:
            pickle.dump(work, worker.stdin)
            worker.stdin.flush()
        except BrokenPipeError as error:
            raise self._death() from error

    def _death(self, *, silent_for: float | None = None) -> _Died:
        """Collect a worker that has ended: how, and its last words."""
        worker, stderr = self._worker, self._stderr
        assert worker is not None
        assert stderr is not None
        try:
            status = worker.wait(_FAREWELL)
        except subprocess.TimeoutExpired:  # a model has closed what was not its own
            status = _CLOSED
        stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - _TAIL))
        said = stderr.read().decode(errors="replace")
        self._end()
        return _Died(status, said, silent_for=silent_for)

    def _relieve(self) -> None:
        """End a worker in which the last model has left something behind."""
        if self._spent:
            self._end()

    def _end(self) -> None:
        worker, self._worker = self._worker, None
        self._ready = self._spent = False
        if worker is not None:
            _kill(worker)
            worker.wait()
            for pipe in (worker.stdin, worker.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()
        if self._stderr is not None:
            self._stderr.close()
            self._stderr = None
