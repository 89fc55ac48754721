"""Reading an ONNX file: its nodes, constants and image input. The package onnx parses, nothing is run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelatlas.errors import MissingExtraError, ModelError
from modelatlas.zoo.onnx_graphs.graph import OnnxGraph
from modelatlas.zoo.onnx_graphs.nodes import Node, UnsupportedError

__all__ = ["GraphFile", "read_graph"]


@dataclass(frozen=True, eq=False)
class GraphFile:
    """What an ONNX file holds.

    Attributes
    ----------
    nodes, arrays
        Nodes in order of evaluation; constants by name.
    source, shape
        Name and shape of the (first) input; None for an axis that is free.
    outputs
        Names of the outputs.
    others
        Names of the inputs but the first.
    """

    path: Path
    nodes: tuple[Node, ...]
    arrays: dict[str, np.ndarray]
    source: str
    shape: tuple[int | None, ...]
    outputs: tuple[str, ...]
    others: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path, *, model: str, extra: str = "onnx") -> "GraphFile":
        """Parse a file.

        Raises
        ------
        MissingExtraError
            The package onnx is not installed.
        ModelError
            The file cannot be read.
        """
        try:
            import onnx
            from onnx import numpy_helper
        except ModuleNotFoundError as error:
            raise MissingExtraError("onnx", extra=extra, needed_for=model) from error
        try:
            proto = onnx.load(str(path))
            graph = proto.graph
            arrays = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
        except Exception as error:  # protobuf's own error classes
            raise ModelError(
                model, f"{path} is no readable ONNX file ({error}); get or export it again"
            ) from error
        inputs = [item for item in graph.input if item.name not in arrays]
        if not inputs:
            raise ModelError(model, f"{path} has no input: it is no network")
        dims = inputs[0].type.tensor_type.shape.dim
        shape = tuple(dim.dim_value if dim.dim_value > 0 else None for dim in dims)
        opset = next((item.version for item in proto.opset_import if item.domain in ("", "ai.onnx")), 1)
        nodes: list[Node] = []
        counted: dict[str, int] = {}
        for item in graph.node:
            attributes = {a.name: _value(onnx.helper.get_attribute_value(a)) for a in item.attribute}
            if item.op_type == "Constant":  # older Paddle exports keep even the weights there
                arrays[item.output[0]] = _constant(attributes)
                continue
            number = counted[item.op_type] = counted.get(item.op_type, -1) + 1
            name = f"{item.op_type.lower()}_{number}"
            op = item.op_type if item.domain in ("", "ai.onnx") else f"{item.domain}.{item.op_type}"
            names = tuple(item.input), tuple(item.output)
            nodes.append(Node(op, name, *names, attributes, opset, one_image=shape[:1] == (1,)))
        return cls(
            path=path,
            nodes=tuple(nodes),
            arrays=arrays,
            source=inputs[0].name,
            shape=shape,
            outputs=tuple(item.name for item in graph.output),
            others=tuple(item.name for item in inputs[1:]),
        )

    def network(self, outputs: Sequence[str], *, model: str) -> OnnxGraph:
        """Make the part of the graph that leads to some of its tensors.

        Raises
        ------
        ModelError
            There is no such tensor, or the way to it needs an operator that is not known here.
        """
        try:
            return OnnxGraph(self.nodes, self.arrays, source=self.source, outputs=outputs)
        except KeyError as error:
            raise ModelError(model, f"{self.path} has no tensor {error}") from error
        except UnsupportedError as error:
            raise ModelError(
                model,
                f"{self.path} has ONNX operators that are not known here: {error}. Where they come after "
                "what you want, cut the graph before them (output=NAME of a tensor)",
            ) from error


def read_graph(
    path: Path, *, outputs: Sequence[str], model: str, extra: str = "package"
) -> tuple[OnnxGraph, dict[str, np.ndarray]]:
    """Read a file and cut it: the network that leads to `outputs`, and all constants by name.

    Raises
    ------
    MissingExtraError, ModelError
        As `GraphFile.read` and `GraphFile.network`.
    """
    file = GraphFile.read(path, model=model, extra=extra)
    return file.network(outputs, model=model), file.arrays


def _value(value: Any) -> Any:
    """Attribute as plain Python: texts decoded, tensors as arrays."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if type(value).__name__ == "TensorProto":
        from onnx import numpy_helper

        return numpy_helper.to_array(value)
    return value


def _constant(attributes: dict[str, Any]) -> np.ndarray:
    for key, kind in (
        ("value_float", np.float32),
        ("value_floats", np.float32),
        ("value_int", np.int64),
        ("value_ints", np.int64),
    ):
        if key in attributes:
            return np.asarray(attributes[key], dtype=kind)
    return np.asarray(attributes["value"])
