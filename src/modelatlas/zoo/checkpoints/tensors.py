"""What both TensorFlow 1 formats share: element types and shapes."""

import math
from typing import Any, Final

import numpy as np

from modelatlas.zoo.checkpoints.wire import BYTES, VARINT, MalformedError, fields, signed

__all__ = ["BFLOAT16", "element_type", "elements", "shape_of", "widened"]

BFLOAT16: Final = 14

# numbers of tensorflow/core/framework/types.proto
_TYPES: Final = {
    1: "<f4", 2: "<f8", 3: "<i4", 4: "<u1", 5: "<i2", 6: "<i1", 8: "<c8", 9: "<i8", 10: "|b1",
    BFLOAT16: "<u2", 17: "<u2", 18: "<c16", 19: "<f2", 22: "<u4", 23: "<u8",
}  # fmt: skip


def element_type(number: int) -> np.dtype[Any] | None:
    """Type of stored elements; None for texts, resources and others that are no numbers.

    bfloat16 gives the unsigned 16-bit integers that `widened` turns into float32.
    """
    return np.dtype(_TYPES[number]) if number in _TYPES else None


def shape_of(message: memoryview) -> tuple[int, ...]:
    """Shape in a TensorShapeProto (field 2: dimensions; their field 1: size)."""
    sizes: list[int] = []
    for number, kind, value, data in fields(message):
        if number == 3 and value:
            raise MalformedError("a tensor of unknown rank")
        if number == 2 and kind == BYTES:
            size = [value for part, kind, value, _ in fields(data) if part == 1 and kind == VARINT]
            sizes.append(signed(size[-1]) if size else 0)
    if any(size < 0 for size in sizes):
        raise MalformedError(f"a tensor of impossible shape {sizes}")
    return tuple(sizes)


def elements(shape: tuple[int, ...]) -> int:
    """Count the elements; Python integers, so that no product overflows."""
    return math.prod(shape)


def widened(array: np.ndarray[Any, Any], number: int) -> np.ndarray[Any, Any]:
    """Turn stored bfloat16 (the upper half of a float32) into float32; leave the rest as it is."""
    if number != BFLOAT16:
        return array
    return (array.astype(np.uint32) << 16).view(np.float32)
