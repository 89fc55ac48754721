"""ONNX operators without weights, as functions of their inputs.

Each entry of `OPERATORS` makes, from a node, a function of as many tensors as the node has inputs (None for
one that is left out). Semantics: the operator pages of the ONNX standard, opsets 7 to 21.
"""

from collections.abc import Callable, Mapping
from typing import Final

from modelatlas.zoo.onnx_graphs.arithmetic import ARITHMETIC
from modelatlas.zoo.onnx_graphs.nodes import Function, Node
from modelatlas.zoo.onnx_graphs.shapes import SHAPES
from modelatlas.zoo.onnx_graphs.windows import WINDOWS

__all__ = ["OPERATORS"]

OPERATORS: Final[Mapping[str, Callable[[Node], Function]]] = {**ARITHMETIC, **SHAPES, **WINDOWS}
