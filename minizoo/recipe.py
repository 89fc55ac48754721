"""What makes a view what it is: one fingerprint over the recipe's number, the sources and the settings.

Raise `NUMBER` whenever a change moves a single pixel or label-bearing pass. Views of two fingerprints lie in
different folders and are refused side by side.
"""

import hashlib
import json
from dataclasses import asdict, dataclass

from minizoo.sources import PINNED

__all__ = ["NUMBER", "SHIPPED", "TINY", "Settings", "fingerprint"]

NUMBER = 3


@dataclass(frozen=True)
class Settings:
    """Numbers of the renderer and of the store."""

    size: int = 128  # stored side of every view that is trained on
    oversample: int = 2  # rendered at size * oversample, shrunk by area: better than more samples (measured)
    samples: int = 4
    probe_size: int = 256
    probe_samples: int = 8
    field_of_view: float = 75.0  # degrees, as in Taskonomy
    views: int = 4  # of a room: rather more rooms than more views


SHIPPED = Settings()
TINY = Settings(size=64, samples=1, probe_samples=1, views=2)


def fingerprint(settings: Settings = SHIPPED) -> str:
    """Twelve hex digits that change with anything that can change a view."""
    parts = {"number": NUMBER, "settings": asdict(settings), "sources": {p.name: p.sha256 for p in PINNED}}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
