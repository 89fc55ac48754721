"""Taskonomy's measured transfers, fetched from their origin (Zamir et al. 2018; MIT licence).

The authors published them as pickles: a dict from `source__target`, or `source__source__...__target` for
transfers from several sources, to a NumPy float; already normalised by their analytic hierarchy process.
Only first-order entries are taken. A pickle is a program: it is run by an unpickler that knows two names,
NumPy's scalar and dtype, and for both of them code of our own that makes a Python float and nothing else.
"""

import io
import os
import pickle
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd

from modelatlas._ids import fingerprint
from modelatlas.errors import FetchError, InputError
from modelatlas.evaluation.transfers import TransferTable, read_transfers
from modelatlas.fetch import Progress, cache_folder, download

__all__ = ["TRAINING_SETS", "read_affinity_pickle", "taskonomy_transfers"]

REVISION: Final = "9f814867b5fe4165860862211e8e99b0f200144d"
ORIGIN: Final = f"https://raw.githubusercontent.com/StanfordVL/taskonomy/{REVISION}/results/affinities/"
MAX_BYTES: Final = 1 << 20
FILES: Final = {
    "16k": (
        "all_affinities_16k.pkl",
        "33e57697e6f83c27a3a8cc4c80bdfa2f803ebd8d931710bdde52172ddf493f44",
    ),
    "1k": ("all_affinities_1k.pkl", "e797c4715f2523cedaa02a801b2e8197ab1347cb5f490d98731ba719e1b6d575"),
    "standard": ("all_affinities.pkl", "6b2d42a7281fe4eac2f5f32499f12c3da63292d4a5d8f04bf1b8b97d9687260c"),
}
TRAINING_SETS: Final = tuple(FILES)
"""Sizes of the training sets of the transfers; the paper's ground truth is the first."""

SPELLINGS: Final[Mapping[str, str]] = {
    "impainting_whole": "inpainting_whole",
    "segmentsemantic_rb": "segmentsemantic",
    "vanishing_point_well_defined": "vanishing_point",
}


def taskonomy_transfers(
    training_set: str = "16k",
    *,
    origin: str | None = None,
    checksums: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> TransferTable:
    """First-order transfer affinities of Taskonomy, from the cache or their origin.

    Parameters
    ----------
    training_set
        One of `TRAINING_SETS`.
    origin
        Address of the folder of the files, if not the authors' repository at the pinned revision;
        $MODELATLAS_TASKONOMY_ORIGIN is the default. Files of another origin must have the same checksums.
    checksums
        SHA-256 by training set, for files that are not the authors'.

    Raises
    ------
    InputError
        No such training set.
    FetchError
        The download failed, has another checksum, or is no table of numbers.
    """
    if training_set not in FILES:
        raise InputError(
            f"taskonomy:{training_set}: no such training set: take one of {', '.join(TRAINING_SETS)}"
        )
    file, digest = FILES[training_set]
    digest = (checksums or {}).get(training_set, digest)
    origin = origin or os.environ.get("MODELATLAS_TASKONOMY_ORIGIN") or ORIGIN
    folder = reference_folder(digest)
    cached = folder / f"{training_set}.csv"
    if not cached.is_file():
        pickled = _fetch(origin.rstrip("/") + "/" + file, folder / file, digest, progress)
        _write(first_order(read_affinity_pickle(pickled)), cached)
    table = read_transfers(cached)
    return TransferTable(f"taskonomy:{training_set}", table.sources, table.targets, table.values)


def _fetch(url: str, place: Path, digest: str, progress: Progress | None) -> Path:
    local = url.startswith(("http://127.0.0.1:", "http://localhost:"))
    try:
        return download(url, place, sha256=digest, max_bytes=MAX_BYTES, progress=progress, allow_http=local)
    except FetchError as error:
        # Their remedy is one for weights of models.
        what = str(error).partition("; ")[0].removeprefix(f"{url}: ")
        raise FetchError(
            f"{url}: {what}; run again with a network, or get the file by hand and save it as {place}"
        ) from error


def reference_folder(digest: str) -> Path:
    """Folder of the cache for a file with this checksum and the table made of it."""
    return cache_folder("references", f"taskonomy-{fingerprint([digest, sorted(SPELLINGS.items())])[:12]}")


def first_order(affinities: Mapping[str, float]) -> dict[tuple[str, str], float]:
    """Affinities by (source, target), names spelled as everywhere else, sorted."""
    parts = {name: name.split("__") for name in affinities}
    pairs = {
        (SPELLINGS.get(names[0], names[0]), SPELLINGS.get(names[1], names[1])): affinities[name]
        for name, names in parts.items()
        if len(names) == 2
    }
    return dict(sorted(pairs.items()))


def read_affinity_pickle(path: Path) -> dict[str, float]:
    """Read a pickled dict of floats without running what it may ask for.

    Raises
    ------
    FetchError
        It asks for anything but NumPy's scalar and dtype of floats, or holds something else than names and
        floats.
    """
    try:
        value = _ScalarsOnly(io.BytesIO(path.read_bytes())).load()
    except FetchError as error:
        raise FetchError(f"{path}: {error}: nothing of it was run; remove it") from error
    except Exception as error:  # a damaged pickle fails in any way it likes
        raise FetchError(
            f"{path}: a damaged pickle ({type(error).__name__}): remove it and fetch it again"
        ) from error
    if not isinstance(value, dict) or not all(
        isinstance(name, str) and isinstance(number, float) for name, number in value.items()
    ):
        raise FetchError(f"{path}: holds no table of affinities (names and numbers): remove it")
    return value


class _FloatType:
    """Stands for `numpy.dtype`: takes part in unpickling floats, makes no array and no object."""

    def __init__(self, code: object, *_: object) -> None:
        formats = {"f8": "d", "f4": "f"}
        if not isinstance(code, str) or code not in formats:
            raise FetchError(f"a pickle with a dtype {code!r}, only floats are admitted")
        self.format = "<" + formats[code]

    def __setstate__(self, state: object) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">", "="):
            raise FetchError("a pickle with a strange dtype")
        self.format = ("<" if order == "=" else str(order)) + self.format[1:]


def _scalar(kind: object, data: object) -> float:
    """Stands for `numpy.core.multiarray.scalar`."""
    if not isinstance(kind, _FloatType) or not isinstance(data, bytes | str):
        raise FetchError("a pickle with a strange scalar")
    raw = data.encode("latin-1") if isinstance(data, str) else data
    return float(struct.unpack(kind.format, raw)[0])


_ADMITTED: Final[Mapping[tuple[str, str], Callable[..., Any]]] = {
    ("numpy", "dtype"): _FloatType,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
}


class _ScalarsOnly(pickle.Unpickler):
    """Unpickler that knows NumPy's float scalars, and builtins that need no name (str, float, dict, ...)."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, encoding="latin-1")

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """Look a name up among the admitted ones."""
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise FetchError(f"a pickle that asks for {module}.{name}, which is not admitted") from None

    def persistent_load(self, pid: object) -> Any:
        """Refuse references to things outside the file."""
        raise FetchError(f"a pickle that refers to {pid!r} outside the file")


def _write(pairs: Mapping[tuple[str, str], float], path: Path) -> None:
    table = pd.DataFrame(
        [(source, target, value) for (source, target), value in pairs.items()],
        columns=["source", "target", "affinity"],
    )
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    table.to_csv(beside, index=False)
    os.replace(beside, path)  # noqa: PTH105
