"""Three attribution maps of a layer's total from one forward and two backward passes.

    T = sum over all units of the target layer

    saliency            |dT/dx|
    gradient-x-input    x * dT/dx
    epsilon-lrp         x * (modified gradient of T)         (tape.py, rules.py)

Song et al. 2019, section 3; for networks beyond the paper's, the constants of the modified pass are those of
method.md. The two gradient methods are bare autograd, bit for bit.
"""

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modelatlas._types import METHODS, Method
from modelatlas.attribution.forward import check_inputs, run_to_layer, undisturbed
from modelatlas.attribution.layers import target_layer
from modelatlas.attribution.liveness import layer_facts
from modelatlas.attribution.tape import modified_gradient
from modelatlas.errors import AttributionError

__all__ = ["attribute"]

_MAP: Final[Mapping[Method, Callable[[Tensor, Tensor], Tensor]]] = {
    "saliency": lambda _, gradient: gradient.abs(),
    "gradient-x-input": lambda images, gradient: images * gradient,
    "epsilon-lrp": lambda images, gradient: images * gradient,
}
_MODIFIED: Final = "epsilon-lrp"


def attribute(
    model: nn.Module,
    images: Float[Tensor, "image channel height width"],
    *,
    methods: Sequence[Method] = METHODS,
    layer: str | None = None,
    epsilon: float = 1e-4,
) -> dict[Method, Float[Tensor, "image channel height width"]]:
    """Attribution maps of `model`'s target layer for a batch of images.

    Parameters
    ----------
    model
        Any module in evaluation mode. It is left as it was: mode, `requires_grad`, hooks, gradients, random
        state; also after an error. While it runs, its parameters do not require gradients.
    images
        Already preprocessed for the model, float32 or float64, on the model's device. Not changed.
    methods
        Which maps; the two gradient methods share a backward pass.
    layer
        Dotted module name; by default what `target_layer` chooses.
    epsilon
        The eps of epsilon-lrp, above 0.

    Returns
    -------
        Method -> maps of the shape of `images`, raw: signed for gradient-x-input and epsilon-lrp, not
        negative for saliency; in units of T (saliency: of T per unit of x).

    Raises
    ------
    AttributionError
        The model trains, the images have a wrong shape or dtype, the layer is unknown or does not run, its
        sum does not depend on the image (a dead target), `torch.no_grad` hides a part of it, or an operation
        has no rule in the modified pass (it is named).

    Examples
    --------
    >>> import torch
    >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()).eval()
    >>> maps = attribute(net, torch.rand(2, 3, 8, 8), methods=("saliency",), layer="1")
    >>> maps["saliency"].shape
    torch.Size([2, 3, 8, 8])
    """
    _check(methods, epsilon)
    check_inputs(model, images)
    if layer is None:
        layer = target_layer(model, images[:1]).name
    elif layer not in (names := dict(model.named_modules(remove_duplicate=False))):
        near = difflib.get_close_matches(layer, names, 3, 0.3)
        raise AttributionError(
            f"the model has no layer {layer!r} (near: {', '.join(near) or 'none'}); target_layer() finds one"
        )
    with undisturbed(model, images.device):
        facts = layer_facts(model, images[:1], layer)
        if facts.hidden:
            raise AttributionError(
                f"the model hides a part of layer {layer!r}'s gradient under torch.no_grad() at "
                f"{facts.hidden}: give modelatlas.through_no_grad(model), or write .detach() there if it is "
                "to be a constant"
            )
        if facts.dead:
            raise AttributionError(
                f"the sum over layer {layer!r} does not depend on the image, as after a LayerNorm (gradient: "
                f"{facts.live_share:.0e} of that with random signs): choose a layer before the norm"
            )
        tape = run_to_layer(
            model, images, layer, record=_MODIFIED in methods, calls=facts.calls, part=facts.part
        )
        if len(images) > 1 and tape.calls == len(images) * facts.calls and tape.units.numel() == facts.units:
            raise AttributionError(
                f"layer {layer!r} runs once for each image, and a layer stands for its last run: give images "
                "one by one (chart: --batch 1), or a layer that takes the whole batch"
            )
        gradients: dict[bool, Tensor] = {}
        if tape.recorder is not None:
            (found,) = modified_gradient(tape.total, (tape.source,), epsilon=epsilon, recorder=tape.recorder)
            if found is None:
                raise AttributionError(
                    f"epsilon-lrp: no relevance of layer {layer!r} reaches the image, since all ways lead "
                    "through constants of the modified pass (gates, softmax, denominators): ask for the "
                    "gradient methods alone, or choose a layer before them"
                )
            gradients[True] = found
        if any(method != _MODIFIED for method in methods):
            (gradients[False],) = torch.autograd.grad(tape.total, tape.leaf)
    data = images.detach()
    with torch.no_grad():
        return {method: _MAP[method](data, gradients[method == _MODIFIED]) for method in methods}


def _check(methods: Sequence[str], epsilon: float) -> None:
    if isinstance(methods, str):  # would be taken letter by letter
        raise AttributionError(f"methods is the text {methods!r}: give a list, as in methods=[{methods!r}]")
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods:
        raise AttributionError(f"unknown methods {unknown}: choose from {', '.join(METHODS)}")
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise AttributionError(f"epsilon must be a positive number, not {epsilon}")
