"""Keep workers running until all is rendered: start them again when they leave, give up when they fail."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from minizoo.paths import REPO
from minizoo.worker import RECYCLE, STUCK, Site

__all__ = ["calm", "run"]

_PATIENCE = 5  # failures in a row of one worker before giving up
_LOOK = 8.0  # seconds between looks for threads that spin


def run(site: Site, *, workers: int, splits: str, minutes: float) -> int:
    """Run `workers` processes of one thread each; 0 when nothing is left, 1 when a worker cannot go on."""
    command = [sys.executable, "-m", "minizoo", "render", "--worker", "--splits", splits]
    command += ["--tiny"] if site.tiny else []
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPO)}
    ends = time.monotonic() + 60 * minutes if minutes else float("inf")
    running: dict[int, subprocess.Popen] = {}
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both end it the same clean way
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where it was started in the background
    failures = dict.fromkeys(range(workers), 0)
    looked = time.monotonic()
    finished: set[int] = set()
    try:
        while len(finished) < workers and time.monotonic() < ends:
            for slot in set(range(workers)) - finished - set(running):
                running[slot] = subprocess.Popen(command, cwd=REPO, env=environment)
            time.sleep(0.5)
            if time.monotonic() - looked > _LOOK:
                looked = time.monotonic()
                calm(process.pid for process in running.values())
            for slot, process in list(running.items()):
                status = process.poll()
                if status is None:
                    continue
                del running[slot]
                failures[slot] = 0 if status in (0, RECYCLE) else failures[slot] + 1
                if status == 0:
                    finished.add(slot)
                elif status == STUCK or failures[slot] >= _PATIENCE:
                    return 1
        return 0
    except KeyboardInterrupt:
        print("stopped; finished views are kept, the same command goes on from here", file=sys.stderr)
        return 130
    finally:
        for process in running.values():
            process.send_signal(signal.SIGTERM)
            process.wait()


def calm(processes: Iterable[int]) -> None:
    """Leave threads that only spin what nobody else wants.

    The renderer's task scheduler lets a second thread wait for work by yielding, over and over: a sixth of a
    worker's time where there are as many workers as cores (measured). Linux only; elsewhere it stays so.
    """
    for process in processes:
        for status in Path(f"/proc/{process}/task").glob("*/stat"):
            try:
                if _spins(status.read_text()):
                    os.sched_setscheduler(int(status.parent.name), os.SCHED_IDLE, os.sched_param(0))
            except OSError:  # the thread has ended, or may not be changed
                continue


def _spins(status: str) -> bool:
    """Tell from a thread's line in /proc (proc(5): fields 14 and 15) whether it hardly leaves the kernel."""
    user, system = map(int, status.rpartition(")")[2].split()[11:13])
    return system > 2 * user and system > 60
