"""Threads that spin, seen in a real process."""

import os
import subprocess
import sys
import time

import pytest
from minizoo.supervisor import calm

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# Its second thread does nothing but system calls.
PROGRAM = """
import os, threading
def spin():
    zeros = os.open("/dev/zero", os.O_RDONLY)
    print(threading.get_native_id(), flush=True)
    while True:
        os.preadv(zeros, [room], 0)
room = bytearray(1 << 22)
threading.Thread(target=spin, daemon=True).start()
input()
"""


def test_a_thread_that_only_spins_gets_what_nobody_else_wants():
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        spinner = int(process.stdout.readline())
        deadline = time.monotonic() + 60
        while os.sched_getscheduler(spinner) != os.SCHED_IDLE and time.monotonic() < deadline:
            time.sleep(0.2)
            calm([process.pid, 2**22])  # the second has ended, so to speak
        found = [os.sched_getscheduler(thread) for thread in (spinner, process.pid)]
        process.kill()
    assert found == [os.SCHED_IDLE, os.SCHED_OTHER]
