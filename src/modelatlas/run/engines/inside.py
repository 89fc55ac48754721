"""What runs in the worker process of `apart`: reads work from its standard input, answers in lines of JSON.

What models print goes to standard error, so that it cannot pass for an answer. Ctrl-C is the run's
business. When the pipe closes, the run has ended, however it did, and so does this process, in the middle
of whatever it does: every write is whole or absent.
"""

import ctypes
import json
import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

from modelatlas.errors import ConflictError, LockedError, ModelAtlasError, ModelError, ProbeError
from modelatlas.run.engines.globals import Globals
from modelatlas.run.engines.here import HereEngine

__all__ = ["main"]

_PR_SET_PDEATHSIG: Final = 1


def main() -> None:
    """Serve until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_the_run()
    with suppress(OSError):  # Linux: when memory runs out, the kernel is to take this process, not the run
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    work: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(sys.stdin.buffer, work), daemon=True).start()
    _say(answers, "ready", None)
    try:
        _serve(answers, work)
    except BaseException:  # Python's own way out would wait for the thread, and abort
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _serve(answers: IO[str], work: "queue.SimpleQueue[Any]") -> None:
    engine: HereEngine | None = None  # holds the worker lock until this process ends
    before = Globals()
    while True:
        what, root, probe, task = work.get()
        engine = engine or HereEngine(root, probe)
        found: Any = None
        try:
            if what == "identify":
                found = engine.identify(task)
            else:
                engine.chart(task, lambda event: _say(answers, "event", event.as_dict()))
            kind = "answer"
        except ModelAtlasError as error:
            kind, parts = _parts(error)
            found = [parts, traceback.format_exc()]
        if changed := before.changed():
            _say(answers, "spent", changed[:3])
        _say(answers, kind, found)


def _die_with_the_run() -> None:
    """Ask Linux for it: the thread that sees the pipe close waits for Python while a model holds it."""
    if sys.platform == "linux":
        run = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != run:  # it has ended already
            os._exit(0)


def _receive(pipe: IO[bytes], work: "queue.SimpleQueue[Any]") -> None:
    """Pass on what comes; end the process when nothing can come any more."""
    while True:
        try:
            work.put(pickle.load(pipe))
        except (EOFError, pickle.UnpicklingError):
            os._exit(0)


def _say(answers: IO[str], kind: str, value: object) -> None:
    answers.write(json.dumps([kind, value]) + "\n")
    answers.flush()


def _parts(error: ModelAtlasError) -> tuple[str, list[object]]:
    """Class name and arguments from which the run makes the error again."""
    if isinstance(error, ModelError):
        return "ModelError", [error.model, error.reason]
    if isinstance(error, ProbeError):
        return "ProbeError", [error.image, error.reason]
    if isinstance(error, ConflictError):
        return "ConflictError", [error.what, error.stored, error.asked]
    return ("LockedError" if isinstance(error, LockedError) else "StoreError"), [str(error)]
