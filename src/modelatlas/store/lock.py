"""Locks that die with their process, so that an atlas has one writer.

`.lock` belongs to the run. `.worker.lock` belongs to the process that writes maps: a run that is killed
leaves its worker alive for a moment, and the next run's worker waits until that one is gone. Readers take
neither.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from modelatlas.errors import LockedError
from modelatlas.store.files import explained

__all__ = ["LOCK_FILES", "worker_lock", "writer_lock"]

LOCK_FILES: Final = (".lock", ".worker.lock")
_ORPHAN_SECONDS: Final = 60.0


@contextmanager
def writer_lock(root: Path) -> Iterator[None]:
    """Hold the atlas in the folder `root` for writing; the folder is made.

    Raises
    ------
    LockedError
        Another process holds it.
    StoreError
        The folder cannot be written.
    """
    with _held(root, LOCK_FILES[0], patience=0.0):
        yield


@contextmanager
def worker_lock(root: Path) -> Iterator[None]:
    """Hold the maps for writing; wait for the worker of a run that was killed. Errors as above."""
    with _held(root, LOCK_FILES[1], patience=_ORPHAN_SECONDS):
        yield


@contextmanager
def _held(root: Path, name: str, *, patience: float) -> Iterator[None]:
    lock = FileLock(root / name, timeout=patience)
    with explained(root, "write to"):
        root.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise LockedError(
                f"{root}: another process is writing to this atlas; wait for its end, or choose another --out"
            ) from error
    try:
        yield
    finally:
        lock.release()
