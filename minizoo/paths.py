"""Where things lie. Work data goes to the ignored cache; finished shards are committed beside this file."""

import os
import shutil
from pathlib import Path

from minizoo.errors import DiskFullError

__all__ = [
    "CACHE",
    "DOWNLOADS",
    "HOME",
    "PICTURES",
    "REPO",
    "UNPACKED",
    "VIEWS",
    "WORK",
    "WORLDS",
    "check_disk",
    "write_bytes",
]

REPO = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("MINIZOO_CACHE", REPO / ".cache" / "minizoo"))
DOWNLOADS = CACHE / "downloads"
UNPACKED = CACHE / "unpacked"
WORLDS = CACHE / "assets" / "worlds"
PICTURES = CACHE / "assets" / "pictures"
WORK = CACHE / "work"
VIEWS = Path(__file__).resolve().parent / "views"
HOME = REPO / "mini-data" / "modelatlas_mini"  # what ships


def check_disk(folder: Path, need_mb: int = 200) -> None:
    """Refuse to start a view when the disk is nearly full: a half-written one is never left, but time is."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free // 2**20
    if free < need_mb:
        raise DiskFullError(folder, free, need_mb)


def write_bytes(path: Path, data: bytes) -> None:
    """Write to a temporary name beside `path`, then rename: a reader sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        draft.write_bytes(data)
        os.replace(draft, path)  # noqa: PTH105 (said so in the rules of this room: atomic on one file system)
    except OSError as error:
        draft.unlink(missing_ok=True)
        if error.errno == 28:
            raise DiskFullError(path.parent, 0, max(1, len(data) // 2**20)) from error
        raise
