"""Where the data distribution `modelatlas-mini` lies: encoders, cards, rendered rooms, measured transfers."""

from importlib.util import find_spec
from pathlib import Path

from modelatlas.errors import MissingExtraError

__all__ = ["mini_data"]


def mini_data(*, needed_for: str) -> Path:
    """Folder of the installed data.

    Parameters
    ----------
    needed_for
        What cannot be had without it, for the error.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    found = find_spec("modelatlas_mini")
    if found is None or not found.submodule_search_locations:
        raise MissingExtraError(
            "modelatlas-mini",
            extra="mini",
            needed_for=needed_for,
            otherwise="in a checkout: pip install ./mini-data",
        )
    return Path(found.submodule_search_locations[0])
