"""Protocol-buffer wire format, as far as TensorFlow 1 checkpoints need it.

A message is a run of fields: a varint `number << 3 | type`, then a varint (type 0), 8 bytes (1), a varint
length and so many bytes (2), or 4 bytes (5). Source: protobuf.dev, "Encoding".
"""

from collections.abc import Iterator
from typing import Final

__all__ = ["BYTES", "FIXED32", "FIXED64", "VARINT", "MalformedError", "fields", "signed", "varint"]

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5

_LENGTHS: Final = {FIXED64: 8, FIXED32: 4}


class MalformedError(ValueError):
    """Bytes that are not what the format says; the caller names the file."""


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """Read an unsigned integer of up to 64 bits, 7 bits a byte, low ones first.

    Returns
    -------
        The number and the position after it.
    """
    value = 0
    for index in range(10):
        if at >= len(data):
            raise MalformedError("a number is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if value >> 64:
                break
            return value, at
    raise MalformedError("a number is longer than 64 bits")


def signed(value: int) -> int:
    """Read a varint as a signed 64-bit integer (two's complement)."""
    return value - (1 << 64) if value >> 63 else value


def fields(data: memoryview) -> Iterator[tuple[int, int, int, memoryview]]:
    """Yield number, type, value (varints; else 0) and bytes (all others; else empty) of every field.

    Raises
    ------
    MalformedError
        A field is cut off or of an unknown type.
    """
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = varint(data, at)
            yield number, kind, value, data[:0]
            continue
        if kind == BYTES:
            length, at = varint(data, at)
        elif kind in _LENGTHS:
            length = _LENGTHS[kind]
        else:
            raise MalformedError(f"a field of unknown type {kind}")
        if length > len(data) - at:
            raise MalformedError(f"field {number} is cut off")
        yield number, kind, 0, data[at : at + length]
        at += length
