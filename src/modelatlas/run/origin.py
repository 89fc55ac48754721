"""Whether a model's weights can have changed, told without loading it."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from modelatlas._ids import file_digest, fingerprint
from modelatlas.zoo import ModelCard, ModelSpec, source_for

__all__ = ["weights_origin"]

_LIBRARIES: Final = ("torch", "timm", "torchvision", "transformers", "keras")


def weights_origin(card: ModelCard, spec: ModelSpec) -> str | None:
    """Fingerprint of where the weights come from, if it says what they are.

    That is so for files with a known checksum, local files (their checksum is taken), and untrained weights
    drawn from a seed by given versions of the libraries. None: only loading the model tells.
    """
    if source_for(spec).runs_user_code:
        return None
    if spec.seed is not None:
        return fingerprint({"spec": spec.text, "libraries": [_version(name) for name in _LIBRARIES]})
    checksums = [file.sha256 or _local_digest(file.url) for file in card.weights]
    if not checksums or None in checksums:
        return None
    return fingerprint({"spec": spec.text, "weights": checksums})


def _local_digest(url: str | None) -> str | None:
    if url is None or "://" in url or not Path(url).is_file():
        return None
    return file_digest(Path(url))


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
