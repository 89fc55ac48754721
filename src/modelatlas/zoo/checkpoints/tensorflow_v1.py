"""TensorFlow checkpoints of version 1 (one file, as TF-Slim's of 2016), without TensorFlow.

A sorted string table. The empty key holds SavedTensorSlices.meta (field 1: SavedSliceMeta {1 name, 2 shape,
3 type}); every other value is SavedTensorSlices.data (field 2: SavedSlice {1 name, 2 slice, 3 TensorProto}).
Numbers lie in the TensorProto's typed field (5 float_val, 6 double_val, 7 int_val, 9 scomplex_val,
10 int64_val, 11 bool_val, 13 half_val), packed. Source: tensorflow/core/util/saved_tensor_slice.proto,
framework/tensor.proto.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelatlas.errors import CheckpointError
from modelatlas.zoo.checkpoints.checkpoint import Checkpoint, StoredArray
from modelatlas.zoo.checkpoints.sstable import mapped, table
from modelatlas.zoo.checkpoints.tensors import element_type, elements, shape_of, widened
from modelatlas.zoo.checkpoints.wire import BYTES, VARINT, MalformedError, fields, signed, varint

__all__ = ["read_v1"]

# TensorProto's fields of plain bytes (None: of the tensor's type); complex numbers are pairs of floats
_RAW: Final = {4: None, 5: "<f4", 6: "<f8", 9: "<f4", 12: "<f8"}
_VARINTS: Final = (7, 10, 11, 13, 16, 17)  # int, int64, bool, half, uint32, uint64
_HALVES: Final = (14, 19)  # bfloat16, float16: bit patterns in half_val


def read_v1(path: Path) -> Checkpoint:
    """Open a checkpoint; every block's checksum is compared now.

    Raises
    ------
    MalformedError
        It is damaged, or holds partitioned variables.
    """
    entries = table(mapped(path))
    first = next(entries, None)
    if first is None or first[0] != b"":
        raise MalformedError("a table without a TensorFlow checkpoint's header")
    known = _meta(first[1])
    arrays: dict[str, StoredArray] = {}
    for _, value in entries:
        name, tensor = _saved_slice(value)
        if name not in known:
            raise MalformedError(f"{name} is not in its table of contents")
        if name in arrays:
            raise MalformedError(f"{name} is stored in several slices (a partitioned variable): not read")
        shape, number = known[name]
        dtype = element_type(number)
        if dtype is not None:
            arrays[name] = StoredArray(shape, _reader(path, name, tensor, shape, number, dtype))
    numbers = {name for name, (_, number) in known.items() if element_type(number) is not None}
    if missing := sorted(numbers - arrays.keys()):
        raise MalformedError(
            f"{len(missing)} variables of its table of contents are missing, {missing[0]} first"
        )
    return Checkpoint(
        path=path,
        format="tensorflow-v1",
        arrays=arrays,
        skipped=tuple(sorted(known.keys() - arrays.keys())),
    )


def _meta(message: memoryview) -> dict[str, tuple[tuple[int, ...], int]]:
    """Shape and type of every variable, by name."""
    known: dict[str, tuple[tuple[int, ...], int]] = {}
    for number, kind, _, meta in fields(message):
        if (number, kind) != (1, BYTES):
            continue
        for part, kind, _, data in fields(meta):
            if (part, kind) != (1, BYTES):
                continue
            name, dtype = "", 0
            shape: tuple[int, ...] = ()
            for item, kind, value, content in fields(data):
                match item, kind:
                    case 1, 2:
                        name = _text(content)
                    case 2, 2:
                        shape = shape_of(content)
                    case 3, 0:
                        dtype = value
            known[name] = (shape, dtype)
    return known


def _saved_slice(message: memoryview) -> tuple[str, memoryview]:
    """Name and TensorProto of one stored tensor."""
    name, tensor = "", message[:0]
    for number, kind, _, data in fields(message):
        if (number, kind) != (2, BYTES):
            continue
        for part, kind, _, content in fields(data):
            if kind != BYTES:
                continue
            if part == 1:
                name = _text(content)
            elif part == 3:
                tensor = content
    return name, tensor


def _reader(
    path: Path, name: str, tensor: memoryview, shape: tuple[int, ...], number: int, dtype: np.dtype[Any]
) -> Callable[[], np.ndarray[Any, Any]]:
    def read() -> np.ndarray[Any, Any]:
        try:
            parts = [_numbers(*part, number, dtype) for part in fields(tensor)]
        except MalformedError as error:
            raise CheckpointError(path, f"{name}: {error}; fetch it again") from error
        values = np.concatenate([part for part in parts if part is not None] or [np.empty(0, dtype)])
        if values.size != elements(shape):
            raise CheckpointError(path, f"{name} holds {values.size} numbers, not those of the shape {shape}")
        return widened(values.reshape(shape), number)

    return read


def _numbers(
    part: int, kind: int, value: int, data: memoryview, number: int, dtype: np.dtype[Any]
) -> np.ndarray[Any, Any] | None:
    """Numbers in one field of a TensorProto; None where it holds none (type, shape, version)."""
    if part in _RAW and kind != VARINT:
        stored = np.dtype(_RAW[part] or dtype)
        if len(data) % stored.itemsize:
            raise MalformedError("a tensor's bytes are no whole number of elements")
        numbers = np.frombuffer(data, stored)
        return numbers.view(dtype) if part in (9, 12) else numbers.astype(dtype)
    if part in _VARINTS and kind in (VARINT, BYTES):
        values = [value] if kind == VARINT else _packed(data)
        if number in _HALVES:
            return np.array(values, np.uint64).astype(np.uint16).view(dtype)
        if dtype.kind == "u":
            return np.array(values, np.uint64).astype(dtype)
        return np.array([signed(value) for value in values], np.int64).astype(dtype)
    return None


def _packed(data: memoryview) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = varint(data, at)
        values.append(value)
    return values


def _text(data: memoryview) -> str:
    return bytes(data).decode("utf-8", "backslashreplace")
