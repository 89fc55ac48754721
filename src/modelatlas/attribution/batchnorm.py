"""A guard around torch's backward pass of batch norm for a single image on a CPU.

torch 2.13 gives wrong gradients there, silently, when the incoming gradient or the input came out of a
transposed view, such as tokens turned back into a map: with one image the strides (C, 1, W C, C) pass for
both memory layouts, and the kernel mixes them up (LeViT, XCiT, TinyViT, EfficientFormer with a batch of
one; found because their relevance budget did not close). Only such nodes are computed anew, by

    dx = w r g                                     with running statistics, r = 1 / sqrt(var + eps)
    dx = w r (g - mean(g) - h mean(g h))           with those of the input, h = (x - mean) r
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from torch import Tensor

from modelatlas.attribution.nonlinear import node_name
from modelatlas.attribution.steps import names, nodes_behind

__all__ = ["BATCH_NORMS", "guard_batch_norm", "of_its_input", "per_channel", "scale_of"]

# Which one runs depends on the device: cuDNN's on CUDA, MIOpen's on ROCm; the last two in exported graphs.
BATCH_NORMS: Final = names(
    "CudnnBatchNorm MiopenBatchNorm NativeBatchNorm NativeBatchNormLegit NativeBatchNormLegitNoTraining"
)

Grads = tuple[Tensor | None, ...]
Hook = Callable[[Grads, Grads], Grads | None]


def guard_batch_norm(root: Any) -> None:
    """Correct the gradients of batch norms with one image in the graph behind the node `root`."""
    for node in nodes_behind([root]):
        if node_name(node) == "NativeBatchNormBackward" and _is_single_map(node._input_metadata[0].shape):
            node.register_hook(_correction(node))


def of_its_input(node: Any) -> bool:
    """Whether a batch norm takes the statistics of its input, as instance norm does, not running ones."""
    return bool(getattr(node, "_saved_training", False))


def scale_of(node: Any) -> Tensor:
    """1 / sqrt(var + eps) of a batch norm, one value a channel."""
    scale: Tensor
    if of_its_input(node):
        scale = node._saved_result2
        return scale
    epsilon = node._saved_eps if hasattr(node, "_saved_eps") else node._saved_epsilon
    scale = (node._saved_running_var + epsilon).rsqrt()
    return scale


def per_channel(values: Tensor, like: Tensor) -> Tensor:
    """One value a channel, shaped to multiply a map [N, C, ...]."""
    return values.view(1, -1, *(1,) * (like.dim() - 2))


def _is_single_map(shape: Sequence[int]) -> bool:
    return len(shape) > 2 and shape[0] == 1


def _correction(node: Any) -> Hook:
    x, weight, training = node._saved_input, node._saved_weight, of_its_input(node)
    mean = node._saved_result1 if training else node._saved_running_mean
    scale = scale_of(node)

    def correct(inputs: Grads, outputs: Grads) -> Grads | None:
        grad = outputs[0]
        if grad is None or all(t.stride(0) == t.numel() for t in (x, grad)):
            return None
        gain = per_channel(scale if weight is None else scale * weight, grad)
        if training:
            axes = (0, *range(2, grad.dim()))
            unit = (x - per_channel(mean, x)) * per_channel(scale, x)
            projection = unit * (grad * unit).mean(axes, keepdim=True)
            grad = grad - grad.mean(axes, keepdim=True) - projection
        return (grad * gain, *inputs[1:])

    return correct
