"""The modified backward pass, read off the graph that autograd recorded.

The forward pass is the model's own, and so is the graph. Its nodes can be called one by one, so the modified
pass is a small interpreter: it walks the nodes in reverse, calls autograd's own backward where an operation
is affine, and the rules of `rules` and `nonlinear` elsewhere. Nothing is put between the model and its
operations, which is why the gradient methods stay bit-equal to autograd, and reused modules, functional calls
and in-place forms need no care.
"""

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor

from modelatlas.attribution.nonlinear import ELEMENTWISE, OVERLOADS, Point, chain_factor, node_name
from modelatlas.attribution.record import Recorder
from modelatlas.attribution.rules import step
from modelatlas.attribution.steps import Reach, Step, untraceable
from modelatlas.errors import AttributionError

__all__ = ["modified_gradient"]

# Backward of these makes new tensors, of those it returns what it was given in another shape.
_FRESH: Final = frozenset(f"{name}Backward" for name in ("Bmm", "Convolution", "MaxPool2DWithIndices", "Mm"))
_RESHAPED: Final = frozenset(
    f"{name}Backward" for name in ("Clone", "Permute", "T", "Transpose", "UnsafeView", "View")
)
Observer = Callable[[str, Point, Tensor], None]


def modified_gradient(
    root: Tensor,
    sources: tuple[Any, ...],
    *,
    epsilon: float,
    recorder: Recorder,
    observe: Observer | None = None,
) -> list[Tensor | None]:
    """Gradient of the scalar `root` at the outputs of the nodes `sources`, by the modified rules.

    Parameters
    ----------
    sources
        Node of the images first; others (of additive constants) do not change what counts as a product or a
        gate.
    recorder
        What was noted during the forward pass.
    observe
        Called with (operation, point, modified gradient at y) for every element-wise nonlinearity.

    Returns
    -------
        One gradient a source, None where nothing but constants leads there. The graph is kept for another
        pass.

    Raises
    ------
    AttributionError
        An operation has no rule; it is named.
    """
    steps = _plan(root.grad_fn, sources)
    # The caller's autocast has done its work in the forward pass.
    with torch.no_grad(), torch.autocast(root.device.type, enabled=False):
        return _Pass(steps, sources, epsilon, recorder, observe).run(root)


def _plan(root: Any, sources: tuple[Any, ...]) -> dict[Any, Step]:
    """Rule of every node through which relevance can flow, inputs before outputs."""
    reach: dict[Any, Reach] = dict.fromkeys(sources, Reach.CONSTANTS) | {sources[0]: Reach.IMAGE}
    steps: dict[Any, Step] = {}
    for node in _inputs_first(root, stop=frozenset(sources)):
        rule = step(node, reach, node_name(node))
        reach[node] = max((reach[node.next_functions[i][0]] for i in rule.inputs), default=Reach.NOTHING)
        steps[node] = rule
    return steps


def _inputs_first(root: Any, *, stop: frozenset[Any]) -> list[Any]:
    order: list[Any] = []
    seen = set(stop)
    stack = [(root, False)]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((source, False) for source, _ in node.next_functions if source is not None)
    return order


class _Pass:
    """One modified backward pass: pending gradients by node, freed as they are used."""

    def __init__(
        self,
        steps: dict[Any, Step],
        sources: tuple[Any, ...],
        epsilon: float,
        recorder: Recorder,
        observe: Observer | None,
    ) -> None:
        self.steps = steps
        self.sources = sources
        self.epsilon = epsilon
        self.recorder = recorder
        self.observe = observe
        self.pending: dict[Any, dict[int, Tensor]] = {}
        self.own: set[tuple[Any, int]] = set()  # pending gradients that nothing else refers to

    def run(self, root: Tensor) -> list[Tensor | None]:
        start = root.grad_fn
        self.pending[start] = {root.output_nr: torch.ones_like(root)}
        for node in self._outputs_first(start):
            waiting = self.pending.pop(node, None)
            if waiting is not None:
                self._cross(node, waiting)
        return [self.pending.get(source, {}).get(0) for source in self.sources]

    def _outputs_first(self, root: Any) -> list[Any]:
        """Nodes that relevance reaches, in reverse of `_plan`'s order."""
        reached = {root}
        order = []
        for node in reversed(self.steps):
            if node in reached:
                order.append(node)
                reached.update(node.next_functions[i][0] for i in self.steps[node].inputs)
        return order

    def _cross(self, node: Any, waiting: dict[int, Tensor]) -> None:
        rule = self.steps[node]
        own = [self._disown(node, slot) for slot in waiting]
        if not rule.inputs:
            return
        name = node_name(node)
        if rule.pull is None:
            position = rule.inputs[0]
            if rule.factor is None:
                product = self._elementwise(node, position, waiting[0], own[0])
            else:
                product = _multiplied(waiting[0], rule.factor(node), in_place=own[0])
            self._send(node, position, product, own=True)
            return
        if name == "CopySlices" and node not in self.recorder.copies:
            untraceable(node, ())  # an in-place operation on a view, inside a composite function
        grads = [waiting.get(i) for i in range(len(node._input_metadata))]
        fresh = name in _FRESH or (all(own) and name in _RESHAPED)
        found = rule.pull(node, grads)
        for position in rule.inputs:
            grad = found[position]
            if grad is not None:
                self._send(node, position, grad, own=fresh)

    def _disown(self, node: Any, slot: int) -> bool:
        owned = (node, slot) in self.own
        self.own.discard((node, slot))
        return owned

    def _elementwise(self, node: Any, position: int, grad: Tensor, own: bool) -> Tensor:
        note = self.recorder.notes.get(node)
        point = note.point if note is not None and note.holds else self._point(node, position)
        if self.observe is not None:
            self.observe(node_name(node), point, grad)
        return chain_factor(
            grad,
            point,
            self.epsilon,
            out=grad if own else torch.empty_like(grad),
        )

    def _point(self, node: Any, position: int) -> Point:
        if node_name(node) == "MulBackward":  # z * h(z)
            z, h = node._saved_self, node._saved_other
            return Point(z if position == 0 else h, z * h)
        if node.name() == "PowBackward1" and position == 1:  # a constant to the power of z
            return Point(node._saved_exponent, node._saved_result)
        recipe = OVERLOADS.get(node.name()) or ELEMENTWISE.get(node_name(node))
        if recipe is None:
            raise AttributionError(
                f"epsilon-lrp cannot see the input of the operation {node.name()}: it lies inside a "
                "composite function or was changed in place later"
            )
        return recipe(node)

    def _send(self, node: Any, position: int, grad: Tensor, *, own: bool) -> None:
        target, slot = node.next_functions[position]
        meta = target._input_metadata[slot]
        if grad.shape != meta.shape:  # a broadcast operand: autograd leaves this sum to its engine
            grad = grad.sum_to_size(meta.shape)
        if grad.dtype != meta.dtype:
            grad = (grad if meta.dtype.is_complex else torch.real(grad)).to(meta.dtype)
        slots = self.pending.setdefault(target, {})
        place = (target, slot)
        if slot not in slots:
            slots[slot] = grad
        elif place in self.own:
            slots[slot].add_(grad)
            own = True
        else:
            slots[slot] = slots[slot] + grad
            own = True
        if own:
            self.own.add(place)


def _multiplied(grad: Tensor, factor: Tensor, *, in_place: bool) -> Tensor:
    if in_place and torch.result_type(grad, factor) == grad.dtype:
        return grad.mul_(factor)
    return grad * factor
