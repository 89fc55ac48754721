"""Checksums of what was downloaded: stated by the origin, else recorded at the first download.

One small file an address under the cache's `checksums`; pruning leaves them, so that a file that changed at
its origin is noticed years later.
"""

import json
import os
from pathlib import Path

from modelatlas._ids import file_digest, fingerprint
from modelatlas.errors import FetchError
from modelatlas.fetch.cache import cache_folder

__all__ = ["forget", "recorded", "verify"]


def recorded(url: str) -> str | None:
    """SHA-256 (hex) recorded for an address; None if nothing was downloaded from there yet."""
    path = _record(url)
    return str(json.loads(path.read_text(encoding="utf-8"))["sha256"]) if path.is_file() else None


def verify(url: str, file: Path, *, sha256: str | None) -> None:
    """Check a downloaded file; record its checksum if none is stated or recorded.

    Raises
    ------
    FetchError
        It has another one.
    """
    expected = sha256 or recorded(url)
    digest = file_digest(file)
    if expected is None:
        _write(url, digest, file.stat().st_size)
    elif digest != expected.lower():
        whose = "stated by its card" if sha256 else "recorded at the first download"
        raise FetchError(
            f"{url}: SHA-256 is {digest}, not {expected.lower()} as {whose}: the file has changed at its "
            "origin or was damaged on the way; it was removed. Run again; if it stays so, it needs a new card"
        )


def forget(url: str) -> None:
    """Drop the recorded checksum of an address whose file turned out to be useless."""
    _record(url).unlink(missing_ok=True)


def _record(url: str) -> Path:
    return cache_folder("checksums") / f"{fingerprint(url)[:32]}.json"


def _write(url: str, digest: str, size: int) -> None:
    path = _record(url)
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps({"url": url, "sha256": digest, "bytes": size}), encoding="utf-8")
    os.replace(beside, path)  # noqa: PTH105
