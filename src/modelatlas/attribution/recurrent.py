"""LSTM, GRU and plain recurrent layers written out step by step, so that the graph shows their gates.

torch runs them, and their cells, as one operation (oneDNN, cuDNN) whose inside no graph shows, or whose
biases no call does. During the modified pass's forward they are replaced by the textbook recurrences below,
on the same weights; results agree to rounding. Packed sequences, and dropout between layers in training,
stay with torch's own.

    LSTM   c' = s(f) c + s(i) tanh(g),  h' = s(o) tanh(c')            s: sigmoid
    GRU    n = tanh(x_n + s(r) h_n),    h' = (1 - s(z)) n + s(z) h
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["RECURRENT", "WithoutCudnn", "by_torch", "unrolled"]

State = tuple[Tensor, ...]
Cell = Callable[[Tensor, Tensor, State], State]


def _lstm(from_x: Tensor, from_h: Tensor, state: State) -> State:
    i, f, g, o = (from_x + from_h).chunk(4, -1)
    c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _gru(from_x: Tensor, from_h: Tensor, state: State) -> State:
    (x_r, x_z, x_n), (h_r, h_z, h_n) = from_x.chunk(3, -1), from_h.chunk(3, -1)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
    return ((1 - z) * n + z * state[0],)


def _tanh(from_x: Tensor, from_h: Tensor, state: State) -> State:
    return (torch.tanh(from_x + from_h),)


def _relu(from_x: Tensor, from_h: Tensor, state: State) -> State:
    return (F.relu(from_x + from_h),)


_LAYERS: Final[dict[Any, Cell]] = {
    torch.lstm: _lstm,
    torch.gru: _gru,
    torch.rnn_tanh: _tanh,
    torch.rnn_relu: _relu,
}
_CELLS: Final[dict[Any, Cell]] = {
    torch.lstm_cell: _lstm,
    torch.gru_cell: _gru,
    torch.rnn_tanh_cell: _tanh,
    torch.rnn_relu_cell: _relu,
}
RECURRENT: Final = frozenset(_LAYERS) | frozenset(_CELLS)


def by_torch(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Run one of `RECURRENT` as torch does, but without cuDNN, which refuses gradients in evaluation mode."""
    with torch.backends.cudnn.flags(enabled=False):
        return function(*args, **kwargs)


class WithoutCudnn(TorchFunctionMode):
    """Context in which recurrent layers on CUDA can be differentiated in evaluation mode."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run `func`."""
        return by_torch(func, args, kwargs or {}) if func in RECURRENT else func(*args, **(kwargs or {}))


def unrolled(function: Any, args: Sequence[Any]) -> tuple[Tensor, ...] | Tensor | None:
    """Compute `function(*args)`, one of `RECURRENT`, by elementary operations; None where not possible."""
    if function in _CELLS:
        return _one_step(function, *args)
    if len(args) != 9 or isinstance(args[3], (list, tuple)):  # a packed sequence
        return None
    data, start, weights, biases, layers, dropout, train, both_ways, batch_first = args
    if train and dropout:
        return None
    states: State = tuple(start) if function is torch.lstm else (start,)
    directions = 2 if both_ways else 1
    each = len(weights) // (layers * directions)
    x = data.transpose(0, 1) if batch_first else data
    last: list[State] = []
    for layer in range(layers):
        ways = []
        for way in range(directions):
            index = layer * directions + way
            own = weights[index * each : (index + 1) * each]
            out, state = _run(
                _LAYERS[function],
                x,
                tuple(s[index] for s in states),
                own,
                biases=biases,
                backwards=way == 1,
            )
            ways.append(out)
            last.append(state)
        x = torch.cat(ways, -1) if both_ways else ways[0]
    ends = tuple(torch.stack(parts) for parts in zip(*last, strict=True))
    return (x.transpose(0, 1) if batch_first else x, *ends)


def _one_step(
    function: Any,
    x: Tensor,
    start: Any,
    weight_x: Tensor,
    weight_h: Tensor,
    bias_x: Tensor | None = None,
    bias_h: Tensor | None = None,
) -> tuple[Tensor, ...] | Tensor:
    state: State = tuple(start) if function is torch.lstm_cell else (start,)
    state = _CELLS[function](F.linear(x, weight_x, bias_x), F.linear(state[0], weight_h, bias_h), state)
    return state if function is torch.lstm_cell else state[0]


def _run(
    cell: Cell, x: Tensor, state: State, weights: Sequence[Tensor], *, biases: bool, backwards: bool
) -> tuple[Tensor, State]:
    """One layer in one direction over x [time, image, feature]."""
    bias_x, bias_h = (weights[2], weights[3]) if biases else (None, None)
    project = weights[-1] if len(weights) == (5 if biases else 3) else None
    inputs = F.linear(x, weights[0], bias_x).unbind(0)
    out = []
    for from_x in reversed(inputs) if backwards else inputs:
        state = cell(from_x, F.linear(state[0], weights[1], bias_h), state)
        if project is not None:
            state = (F.linear(state[0], project), *state[1:])
        out.append(state[0])
    return torch.stack(out[::-1] if backwards else out), state
