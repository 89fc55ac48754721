"""Normalisations in the modified backward pass: the scale is a constant, centring is linear.

    y = w (x - mean(x)) r + b,   r = 1 / sqrt(var + eps) constant:   G_x = c - mean(c),  c = w r G_y

(Ali et al. 2022; with the mean constant too, relevance would not be conserved.)
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from modelatlas.attribution.batchnorm import of_its_input, per_channel, scale_of
from modelatlas.attribution.steps import Grads, Reach, Step, half, plain

__all__ = ["batch_norm", "degree_two", "group_norm", "layer_norm", "rms_norm", "var_mean"]


def var_mean(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    """Rule of variance and mean at once: the one of degree two, the other linear."""

    def pull(node: Any, grads: Grads) -> Grads:
        variance, mean = grads
        return plain(node, (None if variance is None else variance * 0.5, mean))

    return Step(live, pull)


def degree_two(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    """Rule of what is homogeneous of degree two: half of its gradient keeps relevance."""
    return Step(live, half)


def layer_norm(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    """Rule of layer norm."""

    def pull(node: Any, grads: Grads) -> Grads:
        grad, axes = grads[0], tuple(range(-len(node._saved_normalized_shape), 0))
        assert grad is not None
        if node._saved_weight is not None:
            grad = grad * node._saved_weight
        grad = grad * node._saved_result2
        return (grad - grad.mean(axes, keepdim=True),)

    return Step((0,), pull)


def rms_norm(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    """Rule of RMS norm: nothing to centre."""

    def pull(node: Any, grads: Grads) -> Grads:
        grad = grads[0]
        assert grad is not None
        if node._saved_weight is not None:
            grad = grad * node._saved_weight
        return (grad * node._saved_result1,)

    return Step((0,), pull)


def group_norm(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    """Rule of group norm."""

    def pull(node: Any, grads: Grads) -> Grads:
        grad, images, groups = grads[0], node._saved_N, node._saved_group
        assert grad is not None
        if node._saved_weight is not None:
            grad = grad * per_channel(node._saved_weight, grad)
        blocks = grad.reshape(images, groups, -1) * node._saved_result2.view(images, groups, 1)
        return ((blocks - blocks.mean(2, keepdim=True)).view(grad.shape),)

    return Step((0,), pull)


def batch_norm(node: Any, live: tuple[int, ...], reach: Mapping[Any, Reach]) -> Step:
    """Affine with running statistics; with those of its input (instance norm), the scale is a constant."""
    if not of_its_input(node):
        return Step((0,), None, _gain)

    def pull(node: Any, grads: Grads) -> Grads:
        grad = grads[0]
        assert grad is not None
        grad = grad * _gain(node)
        return (grad - grad.mean((0, *range(2, grad.dim())), keepdim=True),)

    return Step((0,), pull)


def _gain(node: Any) -> Tensor:
    """Scale and weight of a batch norm together, shaped to multiply its input."""
    scale, weight = scale_of(node), node._saved_weight
    return per_channel(scale if weight is None else scale * weight, node._saved_input)
