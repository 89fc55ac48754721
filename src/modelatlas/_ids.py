"""Fingerprints: SHA-256 of the bytes of a file, or of the canonical JSON of plain values."""

import hashlib
import json
from pathlib import Path
from typing import Any

__all__ = ["bytes_digest", "file_digest", "fingerprint"]


def fingerprint(value: Any) -> str:
    """SHA-256 (hex) of `value` as canonical JSON: sorted keys, no spaces; floats keep their shortest form.

    Raises
    ------
    TypeError
        `value` holds something that JSON has no form for.
    ValueError
        `value` holds NaN or an infinity.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def bytes_digest(data: bytes) -> str:
    """SHA-256 (hex) of bytes at hand."""
    return hashlib.sha256(data).hexdigest()
