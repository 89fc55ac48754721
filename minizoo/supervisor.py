"""Keep workers running until all is rendered: start them again when they leave, give up when they fail."""

import os
import signal
import subprocess
import sys
import time

from minizoo.paths import REPO
from minizoo.worker import RECYCLE, STUCK, Site

__all__ = ["run"]

_PATIENCE = 5  # failures in a row of one worker before giving up


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
    finished: set[int] = set()
    try:
        while len(finished) < workers and time.monotonic() < ends:
            for slot in set(range(workers)) - finished - set(running):
                running[slot] = subprocess.Popen(command, cwd=REPO, env=environment)
            time.sleep(0.5)
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
