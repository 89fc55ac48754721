"""ONNX operators on pictures: windows, borders, sizes, normalisation by channel.

Each makes, from a node, a function of its inputs; see `operators`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from modelatlas.zoo.onnx_graphs.nodes import Function, Node, integers, plain

__all__ = ["WINDOWS", "same_pads"]


def _pad(node: Node) -> Function:
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}.get(
        node.get("mode", "constant")
    )
    if mode is None:
        raise node.unsupported(f"mode {node.get('mode')!r}")
    stated, filling = node.get("pads"), node.get("value", 0.0)

    def pad(
        x: Tensor, pads: Tensor | None = None, value: Tensor | None = None, axes: Tensor | None = None
    ) -> Tensor:
        amounts = stated if pads is None else integers(pads)
        half = len(amounts) // 2
        chosen = range(x.dim()) if axes is None else [axis % x.dim() for axis in integers(axes)]
        sides = dict(zip(chosen, zip(amounts[:half], amounts[half:], strict=True), strict=True))
        last = [side for axis in range(x.dim() - 1, -1, -1) for side in sides.get(axis, (0, 0))]
        while mode != "constant" and last[-2:] == [0, 0]:
            last = last[:-2]
        return F.pad(
            x,
            last,
            mode=mode,
            **({"value": filling if value is None else float(value)} if mode == "constant" else {}),
        )

    return pad


def _depth_to_space(node: Node) -> Function:
    size, mode = node.get("blocksize"), node.get("mode", "DCR")

    def move(x: Tensor) -> Tensor:
        if mode == "CRD":
            return F.pixel_shuffle(x, size)
        n, c, h, w = x.shape
        x = x.reshape(n, size, size, c // size**2, h, w).permute(0, 3, 4, 1, 5, 2)
        return x.reshape(n, c // size**2, h * size, w * size)

    return move


def _space_to_depth(node: Node) -> Function:
    size = node.get("blocksize")

    def move(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        x = x.reshape(n, c, h // size, size, w // size, size).permute(0, 3, 5, 1, 2, 4)
        return x.reshape(n, c * size**2, h // size, w // size)

    return move


def _resize(node: Node) -> Function:
    """Nearest as torch's (floor of an asymmetric coordinate), linear and cubic with either corner rule."""
    mode = node.get("mode", "nearest")
    where = node.get("coordinate_transformation_mode", "half_pixel" if node.op == "Resize" else "asymmetric")
    rounds = node.get("nearest_mode", "round_prefer_floor" if node.op == "Resize" else "floor")
    kind = {"nearest": "nearest", "linear": "bilinear", "cubic": "bicubic"}.get(mode)
    corners = where == "align_corners"
    if kind is None or (
        kind != "nearest" and where not in ("half_pixel", "pytorch_half_pixel", "align_corners")
    ):
        raise node.unsupported(f"mode {mode!r} and coordinates {where!r}")
    if kind == "bicubic" and node.get("cubic_coeff_a", -0.75) != -0.75:
        raise node.unsupported("another cubic coefficient than -0.75")

    def resize(x: Tensor, *given: Tensor | None) -> Tensor:
        scales = given[-1] if len(given) < 3 else given[1]  # opset 10 and Upsample have no region of interest
        sizes = given[2] if len(given) > 2 else None
        if sizes is not None:
            target = integers(sizes)[-2:]
            factors = [size / old for size, old in zip(target, x.shape[-2:], strict=True)]
        else:
            assert scales is not None
            factors = [float(value) for value in scales.reshape(-1)[-2:]]
            target = [math.floor(old * factor) for old, factor in zip(x.shape[-2:], factors, strict=True)]
        if kind == "nearest":
            whole = all(float(factor).is_integer() for factor in factors)
            if not whole and (where, rounds) != ("asymmetric", "floor"):
                raise node.unsupported(f"nearest {rounds!r}, {where!r} and a factor that is not whole")
            return F.interpolate(x, target, mode="nearest")
        return F.interpolate(x, target, mode=kind, align_corners=corners)

    return resize


def _max_pool(node: Node) -> Function:
    kernel, strides, pads, dilations, ceil = _window(node)
    upper = node.get("auto_pad") == "SAME_UPPER"

    def pool(x: Tensor) -> Tensor:
        before = same_pads(x, kernel, strides, dilations, upper=upper) if pads is None else pads
        half = len(before) // 2
        if before[:half] == before[half:] and all(
            2 * pad <= side for pad, side in zip(before, kernel, strict=False)
        ):
            return F.max_pool2d(x, kernel, strides, before[:half], dilations, ceil)
        x = F.pad(x, [before[1], before[3], before[0], before[2]], value=-torch.inf)
        return F.max_pool2d(x, kernel, strides, 0, dilations, ceil)

    return pool


def _average_pool(node: Node) -> Function:
    kernel, strides, pads, dilations, ceil = _window(node)
    upper = node.get("auto_pad") == "SAME_UPPER"
    counts = bool(node.get("count_include_pad", 0))
    if any(dilation != 1 for dilation in dilations):
        raise node.unsupported("dilations")

    def pool(x: Tensor) -> Tensor:
        before = same_pads(x, kernel, strides, dilations, upper=upper) if pads is None else pads
        if before[:2] == before[2:]:
            return F.avg_pool2d(x, kernel, strides, before[:2], ceil, counts)
        margins = [before[1], before[3], before[0], before[2]]
        summed = F.avg_pool2d(F.pad(x, margins), kernel, strides, 0, ceil)
        if counts:
            return summed
        ones = F.avg_pool2d(F.pad(torch.ones_like(x[:1, :1]), margins), kernel, strides, 0, ceil)
        return summed / ones

    return pool


def _window(node: Node) -> tuple[list[int], list[int], list[int] | None, list[int], bool]:
    """Kernel, strides, pads (None: found from the size, `auto_pad`), dilations, ceil mode."""
    kernel = list(node.get("kernel_shape"))
    if len(kernel) != 2:
        raise node.unsupported(f"{len(kernel)} spatial axes")
    auto = node.get("auto_pad", "NOTSET") in ("SAME_UPPER", "SAME_LOWER")
    return (
        kernel,
        list(node.get("strides", [1, 1])),
        None if auto else list(node.get("pads", [0, 0, 0, 0])),
        list(node.get("dilations", [1, 1])),
        bool(node.get("ceil_mode", 0)),
    )


def same_pads(
    x: Tensor, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], *, upper: bool
) -> list[int]:
    """Find the pads of SAME: ceil(size / stride) outputs; the odd pixel at the end (UPPER) or the start.

    Returns
    -------
        Top, left, bottom, right.
    """
    totals = [
        max((-(-size // stride) - 1) * stride + dilation * (side - 1) + 1 - size, 0)
        for size, side, stride, dilation in zip(x.shape[-2:], kernel, strides, dilations, strict=True)
    ]
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return small + large if upper else large + small


def _batch_norm(node: Node) -> Function:
    """With statistics of the input itself (`training_mode`) too: weights that are standardised on the way."""
    epsilon, fresh = node.get("epsilon", 1e-5), bool(node.get("training_mode", 0))

    def normalise(x: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        if fresh:
            return F.batch_norm(x, None, None, scale, shift, True, 0.0, epsilon)
        return F.batch_norm(x, mean, variance, scale, shift, False, 0.0, epsilon)

    return normalise


def _convolve(node: Node) -> Function:
    """With a weight that is computed on the way."""
    pads, groups = node.get("pads", [0, 0, 0, 0]), node.get("group", 1)
    strides, dilations = node.get("strides", [1, 1]), node.get("dilations", [1, 1])
    if len(pads) != 4 or pads[:2] != pads[2:] or node.get("auto_pad", "NOTSET") != "NOTSET":
        raise node.unsupported("a computed weight and pads that differ")
    return lambda x, weight, bias=None: F.conv2d(x, weight, bias, strides, pads[:2], dilations, groups)


WINDOWS: Final[Mapping[str, Callable[[Node], Function]]] = {
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Conv": _convolve,
    "DepthToSpace": _depth_to_space,
    "GlobalAveragePool": plain(lambda x: x.mean(dim=tuple(range(2, x.dim())), keepdim=True)),
    "GlobalMaxPool": plain(lambda x: x.amax(dim=tuple(range(2, x.dim())), keepdim=True)),
    "LRN": lambda node: (
        lambda x: F.local_response_norm(
            x, node.get("size"), node.get("alpha", 1e-4), node.get("beta", 0.75), node.get("bias", 1.0)
        )
    ),
    "MaxPool": _max_pool,
    "Pad": _pad,
    "Resize": _resize,
    "SpaceToDepth": _space_to_depth,
    "Upsample": _resize,
}
