"""Opening a checkpoint of any format that is read, known by its content and not by its name."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelatlas.errors import CheckpointError, ModelError
from modelatlas.zoo.checkpoints.checkpoint import Checkpoint, CheckpointFormat, StoredArray
from modelatlas.zoo.checkpoints.matconvnet import read_matconvnet
from modelatlas.zoo.checkpoints.pickles import as_checkpoint, read_pickle, unpickled
from modelatlas.zoo.checkpoints.sstable import is_table, mapped
from modelatlas.zoo.checkpoints.tensorflow_v1 import read_v1
from modelatlas.zoo.checkpoints.tensorflow_v2 import index_of, is_v2_index, read_v2
from modelatlas.zoo.checkpoints.wire import MalformedError
from modelatlas.zoo.weights import read_state_dict

__all__ = ["open_checkpoint"]

_NUMPY: Final = b"\x93NUMPY"
_MATLAB: Final = b"MATLAB "
_ZIP: Final = b"PK\x03\x04"
# a pickle whose first object is torch's old magic number
_TORCH_BEFORE_ZIP: Final = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_PICKLE: Final = (b"\x80", b"(", b"]", b"}")
_MARKUP: Final = (b"<!", b"<h", b"<H", b"<?")


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a checkpoint: TensorFlow 1 (V1, V2), .npy dictionary, MatConvNet .mat, pickle, .pth, safetensors.

    Of a version 2 checkpoint the prefix, the index, or any shard may be named; or a folder with one in it.

    Raises
    ------
    CheckpointError
        No such file, none of these formats, cut off, damaged, or a pickle that names more than arrays.
    """
    path = index_of(_in_folder(path) if path.is_dir() else path)
    try:
        if not path.is_file():
            raise CheckpointError(path, "there is no such file; check the path")
        return _reader(path)(path)
    except MalformedError as error:
        raise CheckpointError(path, f"{error}") from error
    except OSError as error:
        raise CheckpointError(path, f"it cannot be read ({error.strerror or error})") from error


def _in_folder(folder: Path) -> Path:
    found = sorted(folder.glob("*.index")) + sorted(folder.glob("*.ckpt"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise CheckpointError(folder, f"a folder must hold one checkpoint ({names} found); name the file")
    return found[0]


def _reader(path: Path) -> Callable[[Path], Checkpoint]:
    with path.open("rb") as stream:
        head = stream.read(32)
    if head.startswith(_NUMPY):
        return _read_numpy
    if head.startswith(_MATLAB):
        return read_matconvnet
    if head.startswith((_ZIP, _TORCH_BEFORE_ZIP)):
        return _torch_reader("torch")
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return _torch_reader("safetensors")
    data = mapped(path)
    if is_table(data):
        return read_v2 if is_v2_index(data) else read_v1
    if path.suffix == ".index" or head.startswith(_MARKUP) or not head.startswith(_PICKLE):
        raise MalformedError(_why_not(path, head))
    return read_pickle


def _why_not(path: Path, head: bytes) -> str:
    if not head:
        return "it is empty; fetch it again"
    if head.startswith(_MARKUP):
        return "it is a web page, not a checkpoint; fetch it again"
    return (
        "it is no checkpoint that is read, or is cut off (TensorFlow V1 and V2, .npy dictionary, MatConvNet "
        ".mat, pickle, .pth, safetensors are read)"
    )


def _read_numpy(path: Path) -> Checkpoint:
    """Open a `.npy` file with a dictionary (an array of one object, which is a pickle) or a single array."""
    with path.open("rb") as stream:
        try:
            version = np.lib.format.read_magic(stream)
            header = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            _, _, dtype = header(stream)
        except ValueError as error:
            raise MalformedError(f"a damaged .npy file ({error})") from error
        if not dtype.hasobject:
            raise MalformedError("a .npy file with one array and no names; a dictionary of arrays is needed")
        return as_checkpoint(unpickled(io.BytesIO(stream.read())), path=path, format="numpy")


def _torch_reader(format: CheckpointFormat) -> Callable[[Path], Checkpoint]:
    def read(path: Path) -> Checkpoint:
        try:
            state = read_state_dict(path, model=path.name)
        except ModelError as error:
            raise CheckpointError(path, error.reason) from error

        def array(name: str) -> np.ndarray[Any, Any]:
            tensor = state[name]
            numbers = tensor.float() if tensor.dtype.itemsize == 2 and tensor.is_floating_point() else tensor
            return np.array(numbers.numpy())

        return Checkpoint(
            path=path,
            format=format,
            arrays={
                name: StoredArray(tuple(tensor.shape), lambda name=name: array(name))  # type: ignore[misc]
                for name, tensor in state.items()
            },
        )

    return read
