"""What holds for all tests: one Hypothesis profile (the same examples every time, no deadline), Ctrl-C."""

import signal

import pytest
from hypothesis import settings

settings.register_profile("repository", deadline=None, derandomize=True)
settings.load_profile("repository")


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Let runs that tests start be interrupted, also where a shell started all of it in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
