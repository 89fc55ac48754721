"""Built-in probes: made once, kept in the cache, the same bytes on every machine."""

from pathlib import Path

from modelatlas.probe.probe import Progress

__all__ = ["builtin_folder", "builtin_probes"]


def builtin_probes() -> dict[str, str]:
    """Names of the built-in probes, and what each shows."""
    return {}


def builtin_folder(name: str, *, progress: Progress) -> Path:
    """Folder of a built-in probe in the cache, with its `manifest.json`; built if it is not there."""
    raise KeyError(name)
