"""TensorFlow checkpoints of version 2 (`X.index`, `X.data-00000-of-00001`, ...), without TensorFlow.

The index is a sorted string table. The empty key holds a BundleHeaderProto (1 num_shards, 2 endianness);
every other key is a tensor's name, its value a BundleEntryProto (1 dtype, 2 shape, 3 shard_id, 4 offset,
5 size, 6 crc32c, 7 slices). A tensor is `size` raw little-endian bytes at `offset` of its shard. Source:
tensorflow/core/protobuf/tensor_bundle.proto.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from modelatlas.errors import CheckpointError
from modelatlas.zoo.checkpoints.checkpoint import Checkpoint, StoredArray
from modelatlas.zoo.checkpoints.sstable import crc_matches, mapped, table
from modelatlas.zoo.checkpoints.tensors import element_type, elements, shape_of, widened
from modelatlas.zoo.checkpoints.wire import BYTES, FIXED32, MalformedError, fields

__all__ = ["index_of", "is_v2_index", "read_v2", "shard_names"]

_DATA: Final = re.compile(r"\.data-\d{5}-of-\d{5}$")
_MOST_SHARDS: Final = 10_000


class _Entry(NamedTuple):
    dtype: int = 0
    shape: tuple[int, ...] = ()
    shard: int = 0
    offset: int = 0
    size: int = 0
    crc: int | None = None
    sliced: bool = False


def index_of(path: Path) -> Path:
    """Find the index of a checkpoint that is named by its prefix, a shard, or its index."""
    if _DATA.search(path.name):
        return path.with_name(_DATA.sub(".index", path.name))
    beside = path.with_name(path.name + ".index")
    return beside if not path.exists() and beside.exists() else path


def shard_names(index: Path) -> list[str]:
    """File names of the shards that belong to an index.

    Raises
    ------
    MalformedError
        It is no index.
    """
    header = next((value for key, value in table(mapped(index)) if key == b""), None)
    if header is None:
        raise MalformedError("an index without its header")
    count = _shards(header)
    prefix = index.name.removesuffix(".index")
    return [f"{prefix}.data-{number:05}-of-{count:05}" for number in range(count)]


def is_v2_index(data: memoryview) -> bool:
    """Tell an index from a version 1 checkpoint, whose first message begins with another message."""
    first = next(iter(table(data)), None)
    if first is None or first[0] != b"":
        return False
    return all(kind != BYTES for number, kind, _, _ in fields(first[1]) if number == 1)


def read_v2(index: Path) -> Checkpoint:
    """Open a checkpoint by its index.

    Raises
    ------
    MalformedError
        The index is damaged.
    CheckpointError
        A shard is missing or too short.
    """
    names = shard_names(index)
    shards = [index.with_name(name) for name in names]
    for shard in shards:
        if not shard.is_file():
            raise CheckpointError(
                index,
                f"its shard {shard.name} is not beside it; a checkpoint of version 2 needs all its files",
            )
    opened = [mapped(shard) for shard in shards]
    arrays: dict[str, StoredArray] = {}
    skipped: list[str] = []
    for key, value in table(mapped(index)):
        if key == b"":
            continue
        name = key.decode("utf-8", "backslashreplace")
        entry = _entry(value)
        dtype = element_type(entry.dtype)
        if dtype is None:
            skipped.append(name)
            continue
        _check(name, entry, dtype, shards, opened)
        arrays[name] = StoredArray(entry.shape, _reader(name, entry, dtype, shards, opened))
    return Checkpoint(
        path=index,
        format="tensorflow-v2",
        arrays=arrays,
        skipped=tuple(skipped),
        files=(index, *shards),
    )


def _shards(header: memoryview) -> int:
    count = 1
    for number, kind, value, _ in fields(header):
        if number == 1 and kind != BYTES:
            count = value
        if number == 2 and value:
            raise MalformedError("it was written on a big-endian machine, which is not read")
    if not 1 <= count <= _MOST_SHARDS:
        raise MalformedError(f"an index that names {count} shards")
    return count


def _entry(message: memoryview) -> _Entry:
    entry = _Entry()
    for number, kind, value, data in fields(message):
        match number, kind:
            case 1, 0:
                entry = entry._replace(dtype=value)
            case 2, 2:
                entry = entry._replace(shape=shape_of(data))
            case 3, 0:
                entry = entry._replace(shard=value)
            case 4, 0:
                entry = entry._replace(offset=value)
            case 5, 0:
                entry = entry._replace(size=value)
            case 6, _ if kind == FIXED32:
                entry = entry._replace(crc=int.from_bytes(data, "little"))
            case 7, _:
                entry = entry._replace(sliced=True)
    return entry


def _check(
    name: str, entry: _Entry, dtype: np.dtype[Any], shards: list[Path], opened: list[memoryview]
) -> None:
    if entry.sliced:
        raise MalformedError(f"{name} is stored in slices (a partitioned variable), which is not read")
    if elements(entry.shape) * dtype.itemsize != entry.size:
        raise MalformedError(f"{name}: {entry.size} bytes for {entry.shape} elements of {dtype}")
    if entry.shard >= len(shards):
        raise MalformedError(f"{name} lies in shard {entry.shard} of {len(shards)}")
    if entry.offset + entry.size > len(opened[entry.shard]):
        shard = shards[entry.shard]
        raise CheckpointError(
            shard,
            f"it is cut off: {name} ends at byte {entry.offset + entry.size} of {len(opened[entry.shard])}; "
            "fetch it again",
        )


def _reader(
    name: str, entry: _Entry, dtype: np.dtype[Any], shards: list[Path], opened: list[memoryview]
) -> Callable[[], np.ndarray[Any, Any]]:
    def read() -> np.ndarray[Any, Any]:
        data = opened[entry.shard][entry.offset : entry.offset + entry.size]
        if entry.crc is not None and not crc_matches(data, entry.crc):
            raise CheckpointError(
                shards[entry.shard], f"the checksum of {name} is wrong: it is damaged; fetch it again"
            )
        return widened(np.frombuffer(data, dtype).reshape(entry.shape).copy(), entry.dtype)

    return read
