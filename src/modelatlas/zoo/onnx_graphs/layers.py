"""ONNX nodes as torch modules: ordinary layers where they hold weights, else one function a module."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelatlas.zoo.onnx_graphs.nodes import Arrays, Function, Node, UnsupportedError, as_tensor
from modelatlas.zoo.onnx_graphs.operators import OPERATORS
from modelatlas.zoo.onnx_graphs.windows import same_pads

__all__ = ["evaluate", "layer_of"]

_NEEDS_TYPE: Final = ("Cast", "ConstantOfShape")
_SETTINGS: Final = ("Clip", "Pad", "Range", "Resize", "Upsample")  # their constants are no weights


class Shift(nn.Module):
    """Adds a learnt constant."""

    def __init__(self, constant: np.ndarray) -> None:
        super().__init__()
        self.constant = nn.Parameter(as_tensor(constant))

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
        self.constant = nn.Parameter(as_tensor(constant))

    def forward(self, x: Tensor) -> Tensor:
        """Broadcast over the batch."""
        return x * self.constant

    def reset_parameters(self) -> None:
        """Untrained: leaves as is."""
        nn.init.ones_(self.constant)


class Operator(nn.Module):
    """An operator that is no layer of torch, with its constants; a subclass of its own carries its name."""

    def __init__(
        self, function: Function, fixed: dict[int, Tensor | None], inputs: int, *, typed: bool
    ) -> None:
        super().__init__()
        self._function, self._inputs, self._fixed, self._typed = function, inputs, tuple(fixed), typed
        for place, tensor in fixed.items():  # None: an optional input that is left out
            weighs = tensor is not None and tensor.is_floating_point() and tensor.numel() > 1
            if tensor is not None and weighs and type(self).__name__ not in _SETTINGS:
                self.register_parameter(
                    f"constant_{place}", nn.Parameter(tensor)
                )  # tokens, embeddings, slopes
            else:
                self.register_buffer(f"constant_{place}", tensor)
        # Shapes, axes and places are reckoned on the host, wherever the weights are: they are never moved.
        self._numbers = {
            place: tensor
            for place, tensor in fixed.items()
            if tensor is not None and not tensor.is_floating_point() and tensor.dtype != torch.bool
        }
        if typed:  # follows the module's type and device
            self.register_buffer("like", torch.zeros(()), persistent=False)

    def forward(self, *activations: Tensor) -> Any:
        """Put the constants between the activations, and compute."""
        left = iter(activations)
        values = [
            self._constant(place) if place in self._fixed else next(left) for place in range(self._inputs)
        ]
        return self._function(*values, **({"like": self.like} if self._typed else {}))

    def _constant(self, place: int) -> Tensor | None:
        numbers = self._numbers.get(place)
        return getattr(self, f"constant_{place}") if numbers is None else numbers

    def reset_parameters(self) -> None:
        """Untrained: small random numbers, as tokens and embeddings begin with."""
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.02)


class Convolution(nn.Conv2d):
    """A convolution whose margins differ from side to side, or follow the size (`auto_pad`)."""

    def __init__(
        self, channels_in: int, channels_out: int, *, margins: list[int] | None, upper: bool, **options: Any
    ) -> None:
        super().__init__(channels_in, channels_out, **options)
        self.margins, self.upper = margins, upper

    def forward(self, input: Tensor) -> Tensor:
        """Pad, then convolve."""
        top, left, bottom, right = self.margins or same_pads(
            input, self.kernel_size, self.stride, self.dilation, upper=self.upper
        )
        return super().forward(F.pad(input, (left, right, top, bottom)))


class OnnxLSTM(nn.LSTM):
    """ONNX's LSTM: [T, N, C] -> [T, directions, N, hidden], and the last states."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        """Run over time."""
        steps, batch = x.shape[:2]
        y, (h, c) = super().forward(x)
        directions = 2 if self.bidirectional else 1
        return y.reshape(steps, batch, directions, self.hidden_size).transpose(1, 2), h, c


def layer_of(node: Node, arrays: Arrays) -> tuple[nn.Module, tuple[str, ...]]:
    """Torch module of a node, and the names of the activations that it reads.

    Raises
    ------
    UnsupportedError
        An operator, or a setting of one, that is not known here.
    """
    made = _with_weights(node, arrays)
    if made is None:
        made = _operator(node, arrays)
    return made, tuple(name for name in node.inputs if name and name not in arrays)


def evaluate(node: Node, arrays: Arrays) -> tuple[np.ndarray, ...]:
    """Values of a node whose inputs are all constants."""
    result = _operator(node, arrays)()
    return tuple(value.detach().numpy() for value in (result if isinstance(result, tuple) else (result,)))


def _with_weights(node: Node, arrays: Arrays) -> nn.Module | None:
    """Ordinary layer for a node that holds weights; None for all others."""
    constant = {index: arrays[name] for index, name in enumerate(node.inputs) if name in arrays}
    if node.op in ("Add", "Mul") and len(constant) == 1:
        (array,) = constant.values()
        if array.dtype.kind == "f":
            return (Shift if node.op == "Add" else Scale)(array)
    make = _MAKERS.get(node.op)
    return None if make is None or 1 not in constant or 0 in constant else make(node, arrays)


def _operator(node: Node, arrays: Arrays) -> Operator:
    make = OPERATORS.get(node.op)
    if make is None:
        raise UnsupportedError(node.op)
    fixed = {
        index: as_tensor(arrays[name]) if name else None
        for index, name in enumerate(node.inputs)
        if not name or name in arrays
    }
    kind = type(node.op, (Operator,), {"__doc__": f"{node.op} of ONNX."})
    made = kind(make(node), fixed, len(node.inputs), typed=node.op in _NEEDS_TYPE)
    assert isinstance(made, Operator)
    return made


def _convolution(node: Node, arrays: Arrays) -> nn.Module:
    weight = arrays[node.inputs[1]]
    axes = weight.ndim - 2
    transposed = node.op == "ConvTranspose"
    auto = node.get("auto_pad", "NOTSET")
    pads = list(node.get("pads", [0] * 2 * axes)) if auto in ("NOTSET", "VALID", "") else None
    groups = node.get("group", 1)
    bias = arrays.get(node.input(2))
    if node.input(2) and bias is None:
        raise node.unsupported("a bias that is computed")
    channels = (
        (weight.shape[0], weight.shape[1] * groups)
        if transposed
        else (weight.shape[1] * groups, weight.shape[0])
    )
    options: dict[str, Any] = {
        "kernel_size": tuple(weight.shape[2:]),
        "stride": tuple(node.get("strides", [1] * axes)),
        "dilation": tuple(node.get("dilations", [1] * axes)),
        "groups": groups,
        "bias": bias is not None,
    }
    made: nn.Module
    symmetric = pads is not None and pads[:axes] == pads[axes:]
    if symmetric and pads is not None:
        kinds: Any = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
        if transposed:
            kinds = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
            options["output_padding"] = tuple(node.get("output_padding", [0] * axes))
        made = kinds[axes](*channels, padding=tuple(pads[:axes]), **options)
    elif axes == 2 and not transposed:
        made = Convolution(*channels, margins=pads, upper=auto == "SAME_UPPER", **options)
    else:
        raise node.unsupported("pads that differ from side to side")
    return _filled(made, weight=weight, bias=bias)


def _linear(node: Node, arrays: Arrays) -> nn.Module | None:
    """Make a layer of x B + c with constant B (and c); None where it is anything else."""
    weight, bias = arrays[node.inputs[1]], arrays.get(node.input(2))
    plain = weight.ndim == 2 and weight.dtype.kind == "f"
    if node.op == "Gemm":
        plain = plain and not node.get("transA", 0) and (bias is not None or not node.input(2))
        if not plain:
            return None
        if node.get("transB", 0):
            weight = weight.T
        weight = weight * node.get("alpha", 1.0)
        bias = None if bias is None else np.broadcast_to(bias * node.get("beta", 1.0), weight.shape[1:])
    if not plain:
        return None
    channels_in, channels_out = weight.shape
    return _filled(nn.Linear(channels_in, channels_out, bias=bias is not None), weight=weight.T, bias=bias)


def _batch_norm(node: Node, arrays: Arrays) -> nn.Module:
    weight, bias, mean, variance = (as_tensor(arrays[name]) for name in node.inputs[1:5])
    made = nn.BatchNorm2d(len(weight), eps=node.get("epsilon", 1e-5))
    made.load_state_dict(
        {"weight": weight, "bias": bias, "running_mean": mean, "running_var": variance}, strict=False
    )
    return made


def _instance_norm(node: Node, arrays: Arrays) -> nn.Module:
    weight, bias = arrays[node.inputs[1]], arrays[node.inputs[2]]
    made = nn.InstanceNorm2d(len(weight), eps=node.get("epsilon", 1e-5), affine=True)
    return _filled(made, weight=weight, bias=bias)


def _layer_norm(node: Node, arrays: Arrays) -> nn.Module:
    weight, bias = arrays[node.inputs[1]], arrays.get(node.input(2))
    axis = node.get("axis", -1)
    if axis != -weight.ndim and not (axis > 0):
        raise node.unsupported(f"axis {axis}")
    made = nn.LayerNorm(weight.shape, eps=node.get("epsilon", 1e-5), bias=bias is not None)
    return _filled(made, weight=weight, bias=bias)


def _group_norm(node: Node, arrays: Arrays) -> nn.Module:
    weight, bias, groups = arrays[node.inputs[1]], arrays[node.inputs[2]], node.get("num_groups")
    if node.opset < 21:
        raise node.unsupported("an opset before 21")
    return _filled(nn.GroupNorm(groups, len(weight), eps=node.get("epsilon", 1e-5)), weight=weight, bias=bias)


def _lstm(node: Node, arrays: Arrays) -> nn.Module:
    """ONNX orders the gates input, output, forget, cell; torch input, forget, cell, output."""
    direction, hidden = node.get("direction", "forward"), node.get("hidden_size")
    given = [index for index in range(4, 8) if node.input(index) and np.any(arrays.get(node.input(index), 1))]
    if direction == "reverse" or given or node.get("layout", 0) or node.get("activations"):
        raise node.unsupported("a reverse direction, initial states, peepholes, or activations of its own")
    w, r = arrays[node.inputs[1]], arrays[node.inputs[2]]
    b = arrays.get(node.input(3), np.zeros((len(w), 8 * hidden), np.float32))
    made = OnnxLSTM(w.shape[2], hidden, bidirectional=direction == "bidirectional")
    for index, suffix in enumerate(("", "_reverse")[: len(w)]):
        state = {
            f"weight_ih_l0{suffix}": w[index],
            f"weight_hh_l0{suffix}": r[index],
            f"bias_ih_l0{suffix}": b[index, : 4 * hidden],
            f"bias_hh_l0{suffix}": b[index, 4 * hidden :],
        }
        for name, array in state.items():
            i, o, f, c = np.split(array, 4)
            made.get_parameter(name).data.copy_(as_tensor(np.concatenate([i, f, c, o])))
    return made


def _filled(module: nn.Module, **arrays: np.ndarray | None) -> nn.Module:
    module.load_state_dict({name: as_tensor(array) for name, array in arrays.items() if array is not None})
    return module


_MAKERS: Final[dict[str, Callable[[Node, Arrays], nn.Module | None]]] = {
    "BatchNormalization": _batch_norm,
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "Gemm": _linear,
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _instance_norm,
    "LSTM": _lstm,
    "LayerNormalization": _layer_norm,
    "MatMul": _linear,
}
