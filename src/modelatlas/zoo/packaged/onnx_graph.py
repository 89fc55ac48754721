"""Convolutional ONNX graphs as torch modules, for the networks that our cards pin.

One submodule a node, named `<op>_<number in the file>` (so that a layer can be named), with ordinary
`nn.Conv2d`, `nn.BatchNorm2d`, ... where torch has them. Two things are put back that the exporter took
apart, because attribution treats them as what they are: x * clip(x + 3, 0, 6) / 6 is one hard-swish, and
a hard sigmoid of any slope is one. Only the operators that occur in the pinned files are known; another
one is an error that names it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from modelatlas.errors import MissingExtraError, ModelError
from modelatlas.zoo.packaged.onnx_layers import Arrays, Node, layer_of

__all__ = ["OnnxGraph", "read_graph"]


class OnnxGraph(nn.Module):
    """The part of an ONNX graph that leads from its input to the outputs asked for.

    Parameters
    ----------
    nodes, arrays
        Nodes in order of evaluation; constants by name.
    source
        Name of the input tensor.
    outputs
        Names of the tensors to return; one: that tensor, more: a tuple of them.
    """

    def __init__(self, nodes: Sequence[Node], arrays: Arrays, *, source: str, outputs: Sequence[str]) -> None:
        super().__init__()
        self._source, self._outputs = source, tuple(outputs)
        self._plan: list[tuple[str, tuple[str, ...], str]] = []
        for node in _needed(nodes, outputs):
            module, inputs = layer_of(node, arrays)
            self.add_module(node.name, module)
            self._plan.append((node.name, inputs, node.output))
        last_use = {name: step for step, (_, inputs, _) in enumerate(self._plan) for name in inputs}
        kept = set(self._outputs)
        self._free = [
            [name for name in set(inputs) if last_use[name] == step and name not in kept]
            for step, (_, inputs, _) in enumerate(self._plan)
        ]

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Evaluate; a tensor that no later node reads is let go."""
        values = {self._source: images}
        for (name, inputs, output), free in zip(self._plan, self._free, strict=True):
            values[output] = self.get_submodule(name)(*(values[key] for key in inputs))
            for key in free:
                del values[key]
        results = tuple(values[name] for name in self._outputs)
        return results[0] if len(results) == 1 else results


def read_graph(path: Path, *, outputs: Sequence[str], model: str) -> tuple[OnnxGraph, Arrays]:
    """Read an ONNX file.

    Parameters
    ----------
    outputs
        Names of the tensors at which the graph is cut; what only lies behind them is left out.
    model
        For error messages.

    Returns
    -------
        The network, and all constants of the file by name.

    Raises
    ------
    MissingExtraError
        The package onnx is not installed.
    ModelError
        The file cannot be read, or has an operator that is not known here.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ModuleNotFoundError as error:
        raise MissingExtraError("onnx", extra="package", needed_for=model) from error
    try:
        graph = onnx.load(str(path)).graph
    except Exception as error:  # protobuf's own error classes
        raise ModelError(
            model, f"{path} is no readable ONNX file ({error}); remove it, it is fetched again"
        ) from error
    arrays = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    nodes: list[Node] = []
    counted: dict[str, int] = {}
    for proto in graph.node:
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in proto.attribute}
        if proto.op_type == "Constant":  # older Paddle exports keep even the weights there
            arrays[proto.output[0]] = numpy_helper.to_array(attributes["value"])
            continue
        number = counted[proto.op_type] = counted.get(proto.op_type, -1) + 1
        name = f"{proto.op_type.lower()}_{number}"
        nodes.append(Node(proto.op_type, name, tuple(proto.input), proto.output[0], attributes))
    sources = [item.name for item in graph.input if item.name not in arrays]
    try:
        return OnnxGraph(_fuse_hardswish(nodes, arrays), arrays, source=sources[0], outputs=outputs), arrays
    except KeyError as error:
        raise ModelError(
            model, f"{path} has the ONNX operator or tensor {error}, which is not known here"
        ) from error


def _needed(nodes: Sequence[Node], outputs: Sequence[str]) -> list[Node]:
    """Nodes on the way to the outputs, in order."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if node.output in wanted:
            wanted |= set(node.inputs)
            kept.append(node)
    if missing := set(outputs) - {node.output for node in kept}:
        raise KeyError(sorted(missing)[0])
    return kept[::-1]


def _fuse_hardswish(nodes: Sequence[Node], arrays: Arrays) -> list[Node]:
    """Replace x * clip(x + 3, 0, 6) / 6 by one node, where the division stood."""
    made_by = {node.output: node for node in nodes}
    fused = []
    for node in nodes:
        x = _hardswish_input(node, made_by, arrays)
        fused.append(
            node
            if x is None
            else Node("HardSwish", node.name.replace("div", "hardswish"), (x,), node.output, {})
        )
    return fused


def _hardswish_input(node: Node, made_by: Mapping[str, Node], arrays: Arrays) -> str | None:
    if node.op != "Div" or not _is(arrays, node.inputs[1], 6.0):
        return None
    product = made_by.get(node.inputs[0])
    if product is None or product.op != "Mul":
        return None
    for x, other in (product.inputs, product.inputs[::-1]):
        clip = made_by.get(other)
        if (
            clip is None
            or clip.op != "Clip"
            or not (_is(arrays, clip.inputs[1], 0.0) and _is(arrays, clip.inputs[2], 6.0))
        ):
            continue
        shifted = made_by.get(clip.inputs[0])
        if (
            shifted is not None
            and shifted.op == "Add"
            and shifted.inputs[0] == x
            and _is(arrays, shifted.inputs[1], 3.0)
        ):
            return x
    return None


def _is(arrays: Arrays, name: str, value: float) -> bool:
    return name in arrays and arrays[name].size == 1 and float(arrays[name].reshape(-1)[0]) == value
