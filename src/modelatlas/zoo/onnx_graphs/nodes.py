"""A node of an ONNX graph as plain data, and what is read off its attributes and constants."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "BATCH",
    "Arrays",
    "Function",
    "Node",
    "UnsupportedError",
    "as_tensor",
    "axes_of",
    "integers",
    "plain",
]

BATCH: ContextVar[int] = ContextVar("BATCH", default=1)
"""Number of images in the pass that runs."""

Arrays = Mapping[str, np.ndarray]
Function = Callable[..., Any]
"""Takes a node's inputs, gives its output, or a tuple of them."""


class UnsupportedError(Exception):
    """An operator, or a setting of one, that is not known here."""


@dataclass(frozen=True)
class Node:
    """A node.

    Attributes
    ----------
    op, name
        Kind, and the name of its submodule: `<op>_<number in the file>`.
    inputs, outputs
        Names of tensors, "" where an optional one is left out.
    attributes
        As Python values; texts as `str`.
    opset
        Version of the operators that the file states.
    one_image
        Whether the file was exported for batches of one image.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    opset: int
    one_image: bool = False

    @property
    def output(self) -> str:
        """The first output."""
        return self.outputs[0]

    def input(self, index: int) -> str:
        """Name of an input, "" where there is none."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def get(self, key: str, default: Any = None) -> Any:
        """Value of an attribute."""
        return self.attributes.get(key, default)

    def unsupported(self, what: str) -> UnsupportedError:
        """Build the error for a setting of this operator that is not known here."""
        return UnsupportedError(f"{self.op} with {what}")


def as_tensor(array: np.ndarray) -> Tensor:
    """Copy a constant; numbers of any width in floating point become float32."""
    if array.size == 0:  # without NumPy's stride of 0, which torch cannot view
        return torch.empty(array.shape)
    if array.dtype.kind == "f" or array.dtype.name in ("bfloat16", "float16"):
        return torch.from_numpy(np.array(array, dtype=np.float32))
    return torch.from_numpy(np.array(array))


def integers(values: Tensor | np.ndarray) -> list[int]:
    """Whole numbers out of a constant, or out of a shape that was computed on the way."""
    return [int(value) for value in values.reshape(-1).tolist()]


def axes_of(node: Node) -> Callable[[Tensor | None], list[int] | None]:
    """Axes from the attribute (older opsets) or from an input."""
    stated = node.get("axes")

    def axes(given: Tensor | None) -> list[int] | None:
        return stated if given is None else integers(given)

    return axes


def plain(function: Function) -> Callable[[Node], Function]:
    """Maker of an operator that has no attributes."""
    return lambda node: function
