"""Sorted string tables (LevelDB's format), which TensorFlow 1 keeps its checkpoints in.

    file    = data blocks, metaindex block, index block, footer
    footer  = two block handles (offset, size: varints), padding, magic number; 48 bytes at the end
    block   = entries, restart points (uint32 each), their count (uint32); then 1 byte compression, 4 crc
    entry   = shared, unshared, value length (varints), the key's new part, the value

Keys are prefix-compressed: an entry's key is the first `shared` bytes of the one before and its new part.
The crc is a masked CRC-32C over block and compression byte. Source: leveldb `doc/table_format.md`; TensorFlow
`core/lib/io/table*` is a copy of it.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import google_crc32c

from modelatlas.zoo.checkpoints.wire import MalformedError, varint

__all__ = ["crc_matches", "is_table", "mapped", "table"]

_MAGIC: Final = (0xDB4775248B80FB57).to_bytes(8, "little")
_FOOTER: Final = 48
_TRAILER: Final = 5
_SNAPPY: Final = 1


def mapped(path: Path) -> memoryview:
    """Map a file's bytes into memory; an empty file gives an empty view."""
    if path.stat().st_size == 0:
        return memoryview(b"")
    with path.open("rb") as stream:
        return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))


def is_table(data: memoryview) -> bool:
    """Tell whether bytes end as a table does."""
    return len(data) >= _FOOTER and bytes(data[-8:]) == _MAGIC


def crc_matches(data: memoryview, stored: int) -> bool:
    """Compare the CRC-32C of bytes with a stored one, which is masked (rotated right by 15, plus a constant).

    Masked because the CRC of bytes that hold their own CRC is degenerate (leveldb `util/crc32c.h`).
    """
    crc: int = google_crc32c.value(bytes(data))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF == stored


def table(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield keys and values in their order; each block's checksum is compared first.

    Raises
    ------
    MalformedError
        No table, cut off, damaged, or compressed.
    """
    if not is_table(data):
        raise MalformedError("it does not end as a TensorFlow checkpoint does: cut off, or another format")
    footer = data[-_FOOTER:]
    _, at = _handle(footer, 0)
    index, _ = _handle(footer, at)
    end = 0
    for _, value in _entries(_block(data, index)):
        handle, _ = _handle(value, 0)
        if handle[0] < end:  # else a small file could name one large block many times
            raise MalformedError("its blocks overlap")
        end = sum(handle)
        yield from _entries(_block(data, handle))


def _handle(data: memoryview, at: int) -> tuple[tuple[int, int], int]:
    offset, at = varint(data, at)
    size, at = varint(data, at)
    return (offset, size), at


def _block(data: memoryview, handle: tuple[int, int]) -> memoryview:
    offset, size = handle
    end = offset + size
    if end + _TRAILER > len(data) - _FOOTER:
        raise MalformedError("a block lies beyond the end of the file: it is cut off")
    if not crc_matches(data[offset : end + 1], int.from_bytes(data[end + 1 : end + 5], "little")):
        raise MalformedError(f"the checksum of the block at byte {offset} is wrong: the file is damaged")
    if data[end]:
        name = "snappy" if data[end] == _SNAPPY else f"of kind {data[end]}"
        raise MalformedError(
            f"its blocks are compressed ({name}), which is not read: save it again with TensorFlow, which "
            "writes them uncompressed"
        )
    return data[offset:end]


def _entries(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    if len(block) < 4:
        raise MalformedError("a block is too short")
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 - 4 * restarts
    if end < 0:
        raise MalformedError("a block has more restart points than bytes")
    at, key = 0, b""
    while at < end:
        shared, at = varint(block, at)
        unshared, at = varint(block, at)
        length, at = varint(block, at)
        if shared > len(key) or unshared + length > end - at:
            raise MalformedError("an entry does not fit its block")
        key = key[:shared] + bytes(block[at : at + unshared])
        at += unshared
        yield key, block[at : at + length]
        at += length
