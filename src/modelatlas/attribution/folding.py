"""BatchNorm folded into the convolution before it, for the time of a pass; the model is not changed.

    w (K * x + c - mean) r + b  =  (w r K) * x + (c - mean) w r + b,     r = 1 / sqrt(variance + eps)

In evaluation mode both are one affine map, so maps keep their meaning and move by rounding alone, while a
pass over every activation is saved in each direction, and the memory of what BatchNorm keeps. Pairs are
found by what the model calls, not by what its modules are named: subclasses with an activation inside and
functional calls count alike.
"""

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.overrides import TorchFunctionMode

from modelatlas.attribution.forward import all_tensors, run_to_layer, undisturbed

__all__ = ["Folding"]

_CONVOLUTIONS: Final = frozenset({F.conv1d, F.conv2d, F.conv3d})
_OF_NO_VALUE: Final = frozenset(
    ("__get__", "__len__", "dim", "is_contiguous", "is_floating_point", "nelement", "numel", "size", "stride")
)
_NORM: Final = inspect.signature(F.batch_norm)


@dataclass(frozen=True, eq=False)
class Folding:
    """Convolutions of a model with their BatchNorms folded in.

    Attributes
    ----------
    kernels
        Identity of a convolution's weight -> (the weight, folded weight, folded bias).
    means
        Identity of the running mean -> the running mean, of each BatchNorm that is left out.
    """

    kernels: Mapping[int, tuple[Tensor, Tensor, Tensor]]
    means: Mapping[int, Tensor]

    @classmethod
    def of(cls, model: nn.Module, images: Tensor, layer: str) -> "Folding":
        """Find what can be folded on the way to `layer`, in one forward pass of `images` [N, C, H, W].

        A pair is folded where the convolution's output goes into the BatchNorm and nowhere else, both run
        once, and both use running statistics and weights that the model owns, in float32 or float64. The
        weights are read now: change them, and fold anew.

        Raises
        ------
        AttributionError
            The layer does not run, or does not depend on the images.
        """
        calls = _Calls()
        with undisturbed(model, images.device):
            calls.take([run_to_layer(model, images, layer, record=False, around=calls).units])
        kernels, means = {}, {}
        with torch.no_grad():
            for call, norm in calls.pairs(model):
                mean = norm["running_mean"]
                statistics = (mean, norm["running_var"], norm["eps"], norm["weight"], norm["bias"])
                weight, bias = fuse_conv_bn_weights(call.weight, call.bias, *statistics)
                kernels[id(call.weight)] = (call.weight, weight.detach(), bias.detach())
                means[id(mean)] = mean
        return cls(kernels, means)

    def __len__(self) -> int:
        """Return how many BatchNorms are folded."""
        return len(self.means)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let what this thread runs in the context use the folded convolutions."""
        with _Applied(self):
            yield


@dataclass(frozen=True, eq=False)
class _Convolution:
    weight: Tensor
    bias: Tensor | None
    output: Tensor  # kept, so that no other tensor gets its identity


class _Calls(TorchFunctionMode):
    """Notes every convolution and BatchNorm, and what else takes a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions: dict[int, _Convolution] = {}  # by the identity of their output
        self.norms: list[Mapping[str, Any]] = []
        self.taken: set[int] = set()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run `func` and take a note."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func is F.batch_norm:
            norm = _NORM.bind(*args, **kwargs)
            norm.apply_defaults()
            self.norms.append(norm.arguments)
        elif getattr(func, "__name__", "") not in _OF_NO_VALUE:
            self.take(all_tensors([*args, *kwargs.values()]))
        if func in _CONVOLUTIONS:
            weight, bias = _argument(args, kwargs, 1, "weight"), _argument(args, kwargs, 2, "bias")
            self.convolutions[id(result)] = _Convolution(weight, bias, result)
        return result

    def take(self, tensors: Iterable[Tensor]) -> None:
        """Note that these are used."""
        self.taken.update(self.convolutions.keys() & map(id, tensors))

    def pairs(self, model: nn.Module) -> Iterator[tuple[_Convolution, Mapping[str, Any]]]:
        """Yield each convolution that one BatchNorm alone takes, with that BatchNorm's arguments."""
        own = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
        runs = Counter(id(call.weight) for call in self.convolutions.values())
        runs.update(id(norm["running_mean"]) for norm in self.norms)
        takers: dict[int, list[Mapping[str, Any]]] = {}
        for norm in self.norms:
            takers.setdefault(id(norm["input"]), []).append(norm)
        for output, call in self.convolutions.items():
            norms = takers.get(output, ())
            if len(norms) != 1 or norms[0]["training"] or output in self.taken:
                continue
            parts = {id(call.weight), id(norms[0]["running_mean"])}
            exact = call.weight.dtype in (torch.float32, torch.float64)
            if exact and parts <= own and all(runs[part] == 1 for part in parts):
                yield call, norms[0]


class _Applied(TorchFunctionMode):
    """Runs convolutions with their folded kernels and leaves their BatchNorms out."""

    def __init__(self, folding: Folding) -> None:
        super().__init__()
        self.folding = folding

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run `func`, or what stands for it."""
        kwargs = kwargs or {}
        if func in _CONVOLUTIONS:
            folded = self.folding.kernels.get(id(_argument(args, kwargs, 1, "weight")))
            if folded is not None:
                others = {
                    key: value for key, value in kwargs.items() if key not in ("input", "weight", "bias")
                }
                return func(_argument(args, kwargs, 0, "input"), *folded[1:], *args[3:], **others)
        elif func is F.batch_norm and id(_argument(args, kwargs, 1, "running_mean")) in self.folding.means:
            return _argument(args, kwargs, 0, "input")
        return func(*args, **kwargs)


def _argument(args: tuple[Any, ...], kwargs: Mapping[str, Any], position: int, name: str) -> Any:
    return args[position] if position < len(args) else kwargs.get(name)
