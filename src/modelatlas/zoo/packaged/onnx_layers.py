"""ONNX operators as torch modules: ordinary ones of torch where it has them, else small ones of ours."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Arrays", "Node", "layer_of"]

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Node:
    """A node of an ONNX graph with one output."""

    op: str
    name: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]


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


def layer_of(node: Node, arrays: Arrays) -> tuple[nn.Module, tuple[str, ...]]:
    """Torch module of a node, and the names of the activations that it reads."""
    if node.op in ("Add", "Mul"):
        constants = [name for name in node.inputs if name in arrays]
        if not constants:
            return (Add() if node.op == "Add" else Mul()), node.inputs
        make = Shift if node.op == "Add" else Scale
        return make(arrays[constants[0]]), tuple(name for name in node.inputs if name not in arrays)
    return _MAKERS[node.op](node, arrays), tuple(name for name in node.inputs if name and name not in arrays)


def _convolution(node: Node, arrays: Arrays) -> nn.Module:
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


def _batch_norm(node: Node, arrays: Arrays) -> nn.Module:
    weight, bias, mean, variance = (_tensor(arrays[name]) for name in node.inputs[1:5])
    made = nn.BatchNorm2d(len(weight), eps=node.attributes["epsilon"])
    made.load_state_dict(
        {"weight": weight, "bias": bias, "running_mean": mean, "running_var": variance}, strict=False
    )
    return made


def _upsampling(node: Node, arrays: Arrays) -> nn.Module:
    scales = [float(value) for value in arrays[node.inputs[2]]]
    assert node.attributes["mode"] == b"nearest"
    assert scales[:2] == [1.0, 1.0]
    assert all(value.is_integer() for value in scales)
    return nn.Upsample(scale_factor=(scales[2], scales[3]), mode="nearest")


def _hard_sigmoid(node: Node, arrays: Arrays) -> nn.Module:
    assert node.attributes.get("beta", 0.5) == 0.5
    return HardSigmoid(node.attributes.get("alpha", 0.2))


_MAKERS: Final[dict[str, Callable[[Node, Arrays], nn.Module]]] = {
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
