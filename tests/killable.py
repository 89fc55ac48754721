"""Runs that are killed inside a write; `python -c "from killable import serve; serve()"`.

One process imports torch and all else once, then forks a child for every run that it is told of on its
standard input, so that a run costs no import. The child kills itself with SIGKILL at a given write: every
file of an atlas, those of Zarr included, comes into its place by `os.replace`, which is where the hook
sits.
"""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from chartable import chart_small

__all__ = ["Ending", "Server", "serve"]


@dataclass(frozen=True)
class Ending:
    """When a run is killed: at its write number `write`, counted from 0, or `after` seconds; None: never.

    `torn`: with the file beside its place half-written; `before`: with it whole; `after_it`: with it in
    place.
    """

    write: int | None = None
    moment: Literal["torn", "before", "after_it"] = "before"
    seconds: float | None = None


def _hooked(ending: Ending, log: Path | None) -> None:
    replace, count = os.replace, 0

    def killing(source: Any, target: Any, **rest: Any) -> None:
        nonlocal count
        here, count = count == ending.write, count + 1
        if log is not None:
            with log.open("a") as stream:
                stream.write(f"{target}\n")
        if here and ending.moment == "torn":
            os.truncate(source, Path(source).stat().st_size // 2)
        if here and ending.moment != "after_it":
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target, **rest)
        if here:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = killing


def serve() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        ending, out, pictures, models, options, log = json.loads(line)
        child = os.fork()
        if child == 0:
            os.dup2(2, 1)
            _hooked(Ending(**ending), None if log is None else Path(log))
            chart_small(Path(out), Path(pictures), *models, **options)
            os._exit(0)
        if (seconds := ending["seconds"]) is not None:
            time.sleep(seconds)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        print(json.dumps(os.waitstatus_to_exitcode(status)), flush=True)


class Server:
    """The other end."""

    def __init__(self) -> None:
        code = f"import sys; sys.path[:] = {sys.path!r}; from killable import serve; serve()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "ready\n"  # all is imported

    def chart(
        self,
        out: Path,
        pictures: Path,
        *models: str,
        ending: Ending | None = None,
        log: Path | None = None,
        **options: Any,
    ) -> int:
        """Chart in a child; its exit status, negative where a signal ended it."""
        work = [asdict(ending or Ending()), str(out), str(pictures), models, options, log and str(log)]
        self.process.stdin.write(json.dumps(work) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
