"""Convolutional ONNX graphs as torch modules, for the networks that our cards pin.

One submodule a node, named `<op>_<number in the file>` (so that a layer can be named), with ordinary
`nn.Conv2d`, `nn.BatchNorm2d`, ... where torch has them. Two things are put back that the exporter took
apart, because attribution treats them as what they are: x * clip(x + 3, 0, 6) / 6 is one hard-swish, and
a hard sigmoid of any slope is one. Only the operators that occur in the pinned files are known; another
one is an error that names it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelatlas.errors import MissingExtraError, ModelError

__all__ = ["OnnxGraph", "read_graph"]

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class _Node:
    op: str
    name: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]


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

    def __init__(
        self, nodes: Sequence[_Node], arrays: Arrays, *, source: str, outputs: Sequence[str]
    ) -> None:
        super().__init__()
        self._source, self._outputs = source, tuple(outputs)
        self._plan: list[tuple[str, tuple[str, ...], str]] = []
        for node in _needed(nodes, outputs):
            module, inputs = _module(node, arrays)
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


class HardSigmoid(nn.Module):
    """clip(alpha x + 1/2, 0, 1) as torch's hard sigmoid, which is clip(z / 6 + 1/2, 0, 1)."""

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.scale = 6.0 * alpha

    def forward(self, x: Tensor) -> Tensor:
        """Element by element."""
        return F.hardsigmoid(x if abs(self.scale - 1.0) < 1e-4 else x * self.scale)


class Shift(nn.Module):
    """Adds a learnt constant."""

    def __init__(self, constant: np.ndarray) -> None:
        super().__init__()
        self.constant = nn.Parameter(_tensor(constant))

    def forward(self, x: Tensor) -> Tensor:
        """Broadcast over the batch."""
        return x + self.constant

    def reset_parameters(self) -> None:
        """Untrained: adds nothing."""
        nn.init.zeros_(self.constant)


class Scale(nn.Module):
    """Multiplies by a learnt constant."""

    def __init__(self, constant: np.ndarray) -> None:
        super().__init__()
        self.constant = nn.Parameter(_tensor(constant))

    def forward(self, x: Tensor) -> Tensor:
        """Broadcast over the batch."""
        return x * self.constant

    def reset_parameters(self) -> None:
        """Untrained: leaves as is."""
        nn.init.ones_(self.constant)


class Add(nn.Module):
    """Sum of two activations."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Broadcast where shapes differ."""
        return a + b


class Mul(nn.Module):
    """Product of two activations."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Broadcast where shapes differ."""
        return a * b


class Concat(nn.Module):
    """Concatenation along the channels."""

    def forward(self, *parts: Tensor) -> Tensor:
        """[N, C_i, H, W] -> [N, sum C_i, H, W]."""
        return torch.cat(parts, dim=1)


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
    nodes: list[_Node] = []
    counted: dict[str, int] = {}
    for proto in graph.node:
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in proto.attribute}
        if proto.op_type == "Constant":  # older Paddle exports keep even the weights there
            arrays[proto.output[0]] = numpy_helper.to_array(attributes["value"])
            continue
        number = counted[proto.op_type] = counted.get(proto.op_type, -1) + 1
        name = f"{proto.op_type.lower()}_{number}"
        nodes.append(_Node(proto.op_type, name, tuple(proto.input), proto.output[0], attributes))
    sources = [item.name for item in graph.input if item.name not in arrays]
    try:
        return OnnxGraph(_fuse_hardswish(nodes, arrays), arrays, source=sources[0], outputs=outputs), arrays
    except KeyError as error:
        raise ModelError(
            model, f"{path} has the ONNX operator or tensor {error}, which is not known here"
        ) from error


def _needed(nodes: Sequence[_Node], outputs: Sequence[str]) -> list[_Node]:
    """Nodes on the way to the outputs, in order."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if node.output in wanted:
            wanted |= set(node.inputs)
            kept.append(node)
    if missing := set(outputs) - {node.output for node in kept}:
        raise KeyError(sorted(missing)[0])
    return kept[::-1]


def _fuse_hardswish(nodes: Sequence[_Node], arrays: Arrays) -> list[_Node]:
    """Replace x * clip(x + 3, 0, 6) / 6 by one node, where the division stood."""
    made_by = {node.output: node for node in nodes}
    fused = []
    for node in nodes:
        x = _hardswish_input(node, made_by, arrays)
        fused.append(
            node
            if x is None
            else _Node("HardSwish", node.name.replace("div", "hardswish"), (x,), node.output, {})
        )
    return fused


def _hardswish_input(node: _Node, made_by: Mapping[str, _Node], arrays: Arrays) -> str | None:
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


def _module(node: _Node, arrays: Arrays) -> tuple[nn.Module, tuple[str, ...]]:
    """Torch module of a node, and the names of the activations that it reads."""
    if node.op in ("Add", "Mul"):
        constants = [name for name in node.inputs if name in arrays]
        if not constants:
            return (Add() if node.op == "Add" else Mul()), node.inputs
        make = Shift if node.op == "Add" else Scale
        return make(arrays[constants[0]]), tuple(name for name in node.inputs if name not in arrays)
    return _MAKERS[node.op](node, arrays), tuple(name for name in node.inputs if name and name not in arrays)


def _convolution(node: _Node, arrays: Arrays) -> nn.Module:
    weight = arrays[node.inputs[1]]
    transposed = node.op == "ConvTranspose"
    pads = node.attributes.get("pads", [0, 0, 0, 0])
    groups = node.attributes.get("group", 1)
    assert pads[:2] == pads[2:]
    assert not node.attributes.get("output_padding")
    channels = (
        (weight.shape[0], weight.shape[1] * groups)
        if transposed
        else (weight.shape[1] * groups, weight.shape[0])
    )
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    made = kind(
        *channels,
        kernel_size=tuple(weight.shape[2:]),
        stride=tuple(node.attributes["strides"]),
        padding=tuple(pads[:2]),
        dilation=tuple(node.attributes["dilations"]),
        groups=groups,
        bias=len(node.inputs) > 2,
    )
    state = {"weight": _tensor(weight)} | (
        {"bias": _tensor(arrays[node.inputs[2]])} if len(node.inputs) > 2 else {}
    )
    made.load_state_dict(state)
    return made


def _batch_norm(node: _Node, arrays: Arrays) -> nn.Module:
    weight, bias, mean, variance = (_tensor(arrays[name]) for name in node.inputs[1:5])
    made = nn.BatchNorm2d(len(weight), eps=node.attributes["epsilon"])
    made.load_state_dict(
        {"weight": weight, "bias": bias, "running_mean": mean, "running_var": variance}, strict=False
    )
    return made


def _upsampling(node: _Node, arrays: Arrays) -> nn.Module:
    scales = [float(value) for value in arrays[node.inputs[2]]]
    assert node.attributes["mode"] == b"nearest"
    assert scales[:2] == [1.0, 1.0]
    assert all(value.is_integer() for value in scales)
    return nn.Upsample(scale_factor=(scales[2], scales[3]), mode="nearest")


def _hard_sigmoid(node: _Node, arrays: Arrays) -> nn.Module:
    assert node.attributes.get("beta", 0.5) == 0.5
    return HardSigmoid(node.attributes.get("alpha", 0.2))


_MAKERS: Final[dict[str, Callable[[_Node, Arrays], nn.Module]]] = {
    "BatchNormalization": _batch_norm,
    "Concat": lambda node, arrays: Concat(),
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "GlobalAveragePool": lambda node, arrays: nn.AdaptiveAvgPool2d(1),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda node, arrays: nn.Hardswish(),
    "Identity": lambda node, arrays: nn.Identity(),
    "Relu": lambda node, arrays: nn.ReLU(),
    "Resize": _upsampling,
    "Sigmoid": lambda node, arrays: nn.Sigmoid(),
}


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32))  # a copy: arrays of a file are read-only
