"""Pickles of arrays and builtins, read without running anything that they name.

A pickle calls what it names. Here it can name a few things, and gets stand-ins of ours for them: NumPy's
array and dtype, which only note what they are given and are checked before an array is made of it, NumPy's
scalar, an ordered dictionary (a plain one), and a set. All else ends in an error before anything of it is
imported. Texts of Python 2 pickles are read as Latin-1, in which array bytes survive.
"""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from modelatlas.zoo.checkpoints.checkpoint import Checkpoint, CheckpointFormat, StoredArray
from modelatlas.zoo.checkpoints.wire import MalformedError

__all__ = ["as_checkpoint", "read_pickle", "unpickled"]

_KINDS: Final = frozenset("biufcSUO")
_MOST_ITEMS: Final = 200_000
_DEEPEST: Final = 32


class _Dtype:
    """What a pickle says of an element type: `dtype("f4", False, True)`, then a state with the byte order."""

    def __init__(self, code: str, align: bool = False, copy: bool = True) -> None:
        self.code = code
        self.order = "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = str(state[1])

    def made(self) -> np.dtype[Any]:
        dtype = np.dtype(str(self.code))
        if dtype.kind not in _KINDS or dtype.fields is not None:
            raise MalformedError(f"an array of {self.code}, which is no number")
        return dtype.newbyteorder(">") if self.order == ">" else dtype


class _Array:
    """What a pickle says of an array: its state is version, shape, dtype, Fortran order, bytes or objects."""

    state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def made(self) -> Any:
        """Make an array of the bytes; of an array of objects a list of them (or the one of a 0-d array)."""
        if len(self.state) not in (4, 5):
            raise MalformedError("an array without its content")
        shape, dtype, fortran, content = self.state[-4:]
        shape = tuple(int(size) for size in shape)
        kind = dtype.made()
        if kind.kind == "O":
            if not isinstance(content, list):
                raise MalformedError("an array of objects without its objects")
            return content[0] if shape == () and len(content) == 1 else content
        data = content.encode("latin-1") if isinstance(content, str) else bytes(content)
        array = np.frombuffer(data, kind)  # a wrong length or shape is a ValueError
        return array.reshape(shape, order="F" if fortran else "C").copy()


def _scalar(dtype: _Dtype, data: Any = b"") -> Any:
    raw = data.encode("latin-1") if isinstance(data, str) else bytes(data)
    return np.frombuffer(raw, dtype.made())[0]


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _from_buffer(data: Any, dtype: Any, shape: Any, order: str, axes: Any = None) -> _Array:
    """Note what protocol 5 says of an array; only C and Fortran order are read."""
    if axes is not None:
        raise MalformedError("an array with its axes in an unusual order")
    array = _Array()
    array.state = (shape, dtype, order == "F", data)
    return array


def _encode(text: str, encoding: str = "latin-1") -> bytes:
    """Encode as Python 3 has protocol 2 do with bytes: `_codecs.encode(text, "latin1")`."""
    if encoding.replace("-", "").replace("_", "").lower() not in ("latin1", "iso88591"):
        raise MalformedError(f"bytes encoded as {encoding}")
    return text.encode("latin-1")


def _no_bytes() -> bytes:
    return b""


class _Named:
    """NumPy's array class, which pickles name and hand to `_reconstruct`; calling it is refused."""

    def __init__(self, *_: Any) -> None:
        raise MalformedError("it makes an array in an unusual way, which is not read")


_ADMITTED: Final[dict[tuple[str, str], Callable[..., Any]]] = {
    ("numpy", "ndarray"): _Named,
    ("numpy", "dtype"): _Dtype,
    **{
        (f"numpy.{core}.multiarray", name): made
        for core in ("core", "_core")
        for name, made in (("_reconstruct", _reconstruct), ("scalar", _scalar))
    },
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,  # protocol 2 has no other way to say b""
    ("collections", "OrderedDict"): dict,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        admitted = _ADMITTED.get((module, name))
        if admitted is None:
            raise MalformedError(
                f"it wants to use {module}.{name}; only arrays and plain values are read. Nothing was run"
            )
        return admitted

    def persistent_load(self, pid: Any) -> Any:
        raise MalformedError("it refers to something outside itself")


def unpickled(stream: IO[bytes]) -> Any:
    """Read one pickle; arrays in it are NumPy arrays, the rest builtins.

    Raises
    ------
    MalformedError
        It names anything else, is cut off or damaged.
    """
    try:
        return _made(_Unpickler(stream, encoding="latin-1").load(), [0], 0)
    except MalformedError:
        raise
    except Exception as error:  # whatever wrong opcodes make of builtins and of our stand-ins
        raise MalformedError(f"it is cut off or damaged ({type(error).__name__}: {error})") from error


def read_pickle(path: Path) -> Checkpoint:
    """Open a pickle of arrays in dictionaries and lists.

    Raises
    ------
    MalformedError
        As `unpickled`; it holds no arrays.
    """
    with path.open("rb") as stream:
        return as_checkpoint(unpickled(stream), path=path, format="pickle")


def as_checkpoint(content: Any, *, path: Path, format: CheckpointFormat) -> Checkpoint:
    """Name the arrays of nested dictionaries and lists by their keys, joined by `/`.

    Items of lists are named by their numbers.

    Raises
    ------
    MalformedError
        There are no arrays.
    """
    arrays: dict[str, StoredArray] = {}
    skipped: list[str] = []
    for name, value in _leaves(content, ()):
        if isinstance(value, np.ndarray | np.number) and value.dtype.kind in "biufc":
            array = np.asarray(value)
            arrays[name] = StoredArray(array.shape, array.copy)
        else:
            skipped.append(name)
    if not arrays:
        raise MalformedError("it holds no arrays of numbers")
    return Checkpoint(path=path, format=format, arrays=arrays, skipped=tuple(skipped))


def _leaves(content: Any, above: tuple[str, ...]) -> list[tuple[str, Any]]:
    if isinstance(content, dict):
        items = [(str(key), value) for key, value in content.items()]
    elif isinstance(content, list | tuple):
        items = [(str(number), value) for number, value in enumerate(content)]
    else:
        return [("/".join(above), content)]
    return [leaf for key, value in items for leaf in _leaves(value, (*above, key))]


def _made(value: Any, count: list[int], depth: int) -> Any:
    """Make the arrays; the count is of the whole tree, in which a shared part counts again (no bombs)."""
    count[0] += 1
    if count[0] > _MOST_ITEMS or depth > _DEEPEST:
        raise MalformedError("it is nested too deeply, or holds too many things")
    if isinstance(value, _Array):
        return _made(value.made(), count, depth + 1)
    if isinstance(value, dict):
        return {key: _made(item, count, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_made(item, count, depth + 1) for item in value]
    return value
