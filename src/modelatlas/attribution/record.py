"""Notes taken during the forward pass of what the autograd graph does not keep.

Autograd saves only the output of sigmoid, tanh and the like, and hides what an in-place operation on a view
did. The recorder notes the input of the former, and lets the latter run on a copy that is then copied back,
which is the same in values. Recurrent layers are written out step by step (`recurrent`). All other calls
pass untouched. It acts in its own thread only.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from modelatlas.attribution.gates import SHIFT
from modelatlas.attribution.nonlinear import Point
from modelatlas.attribution.recurrent import RECURRENT, by_torch, unrolled

__all__ = ["Note", "Recorder"]


def _words(text: str) -> list[str]:
    return text.split()


_NOTED: Final = frozenset(
    f
    for name in _words("sigmoid tanh expm1 tan threshold round floor ceil trunc sign sgn frac")
    for owner in (torch, torch.Tensor, F)
    for f in (getattr(owner, name, None), getattr(owner, f"{name}_", None))
    if f is not None
) | {torch.special.expit, torch.special.expm1, torch.special.round}
_NOTED_IN_PLACE: Final = frozenset({F.elu, F.elu_, F.selu, F.selu_, F.celu, F.celu_})
_SHIFTING: Final = frozenset(
    f
    for name in _words(
        "add add_ sub sub_ subtract subtract_ rsub __add__ __radd__ __iadd__ __sub__ __rsub__ __isub__"
    )
    for owner in (torch, torch.Tensor)
    if (f := getattr(owner, name, None)) is not None
)
_SHAPE_IN_PLACE: Final = frozenset(
    _words(
        "as_strided_ detach_ requires_grad_ resize_ resize_as_ set_ squeeze_"
        " swapaxes_ swapdims_ t_ transpose_ unsqueeze_"
    )
)
_OPERATORS: Final = frozenset(
    getattr(Tensor, f"__i{name}__") for name in _words("add sub mul truediv floordiv mod pow")
)
_COPIES: Final = frozenset({Tensor.__setitem__, Tensor.copy_})


def _flag_position(function: Any) -> int | None:
    try:
        return list(inspect.signature(function).parameters).index("inplace")
    except (ValueError, TypeError):
        return None


# torch.nn.functional takes `inplace` by position too, and its modules pass it so.
_FLAG: Final = {
    f: position for f in vars(F).values() if callable(f) and (position := _flag_position(f)) is not None
}


class Note(NamedTuple):
    """A point and the versions of its tensors: worthless once one of them was changed in place."""

    point: Point
    versions: tuple[int, int]

    @property
    def holds(self) -> bool:
        """Whether neither tensor was changed since."""
        return (self.point.z._version, self.point.output()._version) == self.versions


class Recorder(TorchFunctionMode):
    """Context in which a model's forward pass is observed.

    Attributes
    ----------
    notes
        Input and output of noted nonlinearities, by graph node.
    copies
        Graph nodes of in-place copies into views, the only in-place operations on views that are left.
    """

    def __init__(self) -> None:
        super().__init__()
        self.notes: dict[Any, Note] = {}
        self.copies: set[Any] = set()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run `func`, taking a note where one is needed."""
        kwargs = kwargs or {}
        if not torch.is_grad_enabled():
            return func(*args, **kwargs)
        if func in RECURRENT:
            with self:
                result = unrolled(func, args)
            return by_torch(func, args, kwargs) if result is None else result
        in_place = _in_place(func, args, kwargs)
        if in_place and args and isinstance(args[0], Tensor):
            if func in _COPIES:
                return self._copy(func, args, kwargs)
            name = getattr(func, "__name__", "")
            if args[0]._is_view() and name not in _SHAPE_IN_PLACE and any(map(_attached, args)):
                changed = self._run(func, True, (args[0].clone(), *args[1:]), kwargs)
                return self._copy(Tensor.copy_, (args[0], changed), {})
        return self._run(func, in_place, args, kwargs)

    def _copy(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        result = func(*args, **kwargs)
        changed = args[0] if args[0]._base is None else args[0]._base
        self.copies.add(changed.grad_fn)
        return result

    def _run(self, func: Any, in_place: bool, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        if func in _SHIFTING:
            return _shifted(func, args, kwargs)
        if func not in _NOTED and not (in_place and func in _NOTED_IN_PLACE):
            return func(*args, **kwargs)
        z = args[0] if args else kwargs["input"]
        # What a view shows may be changed through another view of the same tensor.
        z = z.detach().clone() if in_place or z._is_view() else z.detach()
        y = func(*args, **kwargs)
        if y.grad_fn is not None:
            point = Point(z, y.detach())
            self.notes[y.grad_fn] = Note(point, (z._version, y._version))
        return y


def _shifted(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Add or subtract, and note on the graph's node which constant it was (see `gates`)."""
    y = func(*args, **kwargs)
    operands = [*args, *kwargs.values()]
    if isinstance(y, Tensor) and y.grad_fn is not None and len(operands) == 2:
        constants = [value for value in operands if not _attached(value)]
        if len(constants) == 1:
            number = constants[0] if isinstance(constants[0], (int, float)) else math.nan
            y.grad_fn.metadata[SHIFT] = number  # type: ignore[index]
    return y


def _attached(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _in_place(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    if func in _COPIES or func in _OPERATORS:
        return True
    position = _FLAG.get(func)
    if position is not None:
        return bool(kwargs.get("inplace", position < len(args) and args[position]))
    name = getattr(func, "__name__", "")
    return name.endswith("_") and not name.endswith("__")
