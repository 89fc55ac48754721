"""How the modified backward pass crosses one node of an autograd graph: the vocabulary of the rules."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple, NoReturn

from torch import Tensor

from modelatlas.errors import AttributionError

__all__ = [
    "RESAMPLE",
    "SHAPE_ONLY",
    "Edge",
    "Grads",
    "Pull",
    "Reach",
    "Rule",
    "Step",
    "axis_of",
    "half",
    "names",
    "nodes_behind",
    "plain",
    "source_of",
    "untraceable",
]

Edge = tuple[Any, int]  # a node and which of its outputs
Grads = Sequence[Tensor | None]
Pull = Callable[[Any, Grads], Grads]


class Reach(IntEnum):
    """What the values of a node depend on, as the modified pass sees it."""

    NOTHING = 0
    CONSTANTS = 1  # additive constants alone, where `budget` asks for their share
    IMAGE = 2


class Step(NamedTuple):
    """How the modified pass crosses one node."""

    inputs: tuple[int, ...]  # positions in `node.next_functions`
    pull: Pull | None  # gradients of the outputs -> of all inputs, by position; None: see `factor`
    factor: Callable[[Any], Tensor] | None = None  # what the gradient is multiplied by; None too: y / z


Rule = Callable[[Any, tuple[int, ...], Mapping[Any, Reach]], Step]


def names(text: str) -> frozenset[str]:
    """Names of graph nodes for operations named in a text."""
    return frozenset(f"{name}Backward" for name in text.split())


SHAPE_ONLY: Final = names(
    "Alias AsStrided Chunk Clone Diagonal Expand Flip Lift LiftFresh NarrowCopy Permute PinMemory Repeat "
    "ReshapeAlias ReshapeCopy Roll Rot90 Select Slice Split SplitWithSizes Squeeze T ToCopy Transpose "
    "Unbind Unfold UnsafeSplit UnsafeSplitWithSizes UnsafeView Unsqueeze View PixelShuffle PixelUnshuffle "
    "ChannelShuffle NanToNum"
)


RESAMPLE: Final = names(
    "UpsampleBicubic2D UpsampleBicubic2DAa UpsampleBilinear2D UpsampleBilinear2DAa UpsampleLanczos2DAa "
    "UpsampleLinear1D UpsampleNearest1D UpsampleNearest2D UpsampleNearest3D UpsampleNearestExact1D "
    "UpsampleNearestExact2D UpsampleNearestExact3D UpsampleTrilinear3D ConstantPadNd ReflectionPad1D "
    "ReflectionPad2D ReflectionPad3D ReplicationPad1D ReplicationPad2D ReplicationPad3D Gather Index "
    "IndexSelect UnsafeIndex Take MaskedSelect"
)


def axis_of(node: Any) -> int:
    """Axis that a node has kept; torch gives negative ones back as unsigned numbers."""
    axis = int(node._saved_dim)
    return axis - (1 << 64) if axis >= 1 << 63 else axis


def nodes_behind(nodes: Iterable[Any], *, stop: Sequence[Any] = ()) -> set[Any]:
    """Nodes of the graph that some depend on, these included; those of `stop` are not looked behind."""
    stack = list(nodes)
    seen = set(stack)
    while stack:
        node = stack.pop()
        if node not in stop:
            sources = {source for source, _ in node.next_functions if source is not None}
            stack.extend(sources - seen)
            seen |= sources
    return seen


def source_of(node: Any, position: int) -> Edge:
    """Give what feeds an input of a node."""
    edge: Edge = node.next_functions[position]
    return edge


def plain(node: Any, grads: Grads) -> Grads:
    """Run autograd's own backward of a node."""
    found = node(*grads)
    return found if isinstance(found, tuple) else (found,)


def _scaled(factor: float) -> Pull:
    def pull(node: Any, grads: Grads) -> Grads:
        return [None if grad is None else grad * factor for grad in plain(node, grads)]

    return pull


half: Final = _scaled(0.5)


def untraceable(node: Any, grads: Grads) -> NoReturn:
    """Refuse to cross a node.

    Raises
    ------
    AttributionError
        Always; it names the operation.
    """
    raise AttributionError(
        f"epsilon-lrp cannot trace the operation {node.name()}: ask for the gradient methods alone, choose a "
        "layer before it, or write it with operations of torch that have a rule"
    )
