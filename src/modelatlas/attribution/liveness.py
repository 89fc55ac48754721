"""Whether a target layer can give maps at all, found once per model, layer and weights.

A target is dead when the gradient of the plain sum over its units is rounding noise against that of the same
units with fixed random signs r:

    |grad sum(u)| < 1e-5 |grad sum(r * u)|

(measured where it is constant in theory, a LayerNorm's output: 2e-8 to 9e-8; never exactly 0).
"""

import weakref
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from modelatlas.attribution.batchnorm import BATCH_NORMS, of_its_input
from modelatlas.attribution.forward import Tape, run_to_layer
from modelatlas.attribution.hidden import HiddenPlaces, IgnoreNoGrad
from modelatlas.attribution.nonlinear import node_name
from modelatlas.attribution.steps import SHAPE_ONLY, names
from modelatlas.errors import AttributionError

__all__ = ["LayerFacts", "layer_facts", "model_key"]

_DEAD_BELOW: Final = 1e-5
# Of the gradient's norm: above rounding in float32, as both passes take equal kinks.
_HIDDEN_ABOVE: Final = 1e-4
_NORMS: Final = names("NativeLayerNorm NativeGroupNorm")


@dataclass(frozen=True)
class LayerFacts:
    """What one image tells of a layer.

    Attributes
    ----------
    calls
        How often it runs in one forward pass of one image.
    part
        Which of several tensors that it returns holds its units.
    units
        How many there are for one image.
    shape
        Of its units, without the batch axis.
    normalised
        Whether it returns the output of a layer, group or instance norm, perhaps scaled and shifted.
    live_share
        |grad sum(u)| / |grad sum(r * u)|, without unit; NaN where both are zero or one is not finite.
    hidden
        Lines of the model where `torch.no_grad` hides part of the gradient; empty if none does.
    """

    calls: int
    part: int
    units: int
    shape: tuple[int, ...]
    normalised: bool
    live_share: float
    hidden: str

    @property
    def dead(self) -> bool:
        """Whether the sum over the layer's units does not depend on the image."""
        return self.live_share < _DEAD_BELOW


_known: weakref.WeakKeyDictionary[nn.Module, dict[Hashable, LayerFacts]] = weakref.WeakKeyDictionary()


def layer_facts(model: nn.Module, image: Tensor, layer: str) -> LayerFacts:
    """Facts about `layer` from a full forward pass of one image [1, C, H, W]; remembered.

    Raises
    ------
    AttributionError
        As `forward.run_to_layer`.
    """
    key = (layer, model_key(model, image))
    known = _known.setdefault(model, {})
    if key not in known:
        places = HiddenPlaces()
        tape = run_to_layer(model, image, layer, record=False, around=places)
        mixed = _mixed_gradient(tape)
        hidden = str(places) if places.lines and _hides(model, image, layer, mixed) else ""
        (plain,) = torch.autograd.grad(tape.total, tape.leaf)
        share = float(plain.double().norm() / mixed.double().norm())
        known[key] = LayerFacts(
            tape.calls,
            tape.part,
            tape.units.numel(),
            tuple(tape.units.shape[1:]),
            _normalised(tape),
            share,
            hidden,
        )
    return known[key]


def _hides(model: nn.Module, image: Tensor, layer: str, mixed: Tensor) -> bool:
    """Whether the gradient is another one when `torch.no_grad` is ignored."""
    whole = _mixed_gradient(run_to_layer(model, image, layer, record=False, around=IgnoreNoGrad()))
    return float((whole - mixed).norm()) > _HIDDEN_ABOVE * float(whole.norm())


def model_key(model: nn.Module, images: Tensor) -> Hashable:
    """Key of what was found for a model: another image size, or a weight changed, gives another."""
    tensors = (*model.parameters(), *model.buffers())
    weights = tuple((t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors)
    return tuple(images.shape[1:]), images.dtype, images.device, hash(weights)


def _normalised(tape: Tape) -> bool:
    node = tape.units.grad_fn
    while node is not None and node is not tape.source:
        name = node_name(node)
        if name in _NORMS or name in BATCH_NORMS:
            return name in _NORMS or of_its_input(node)  # BatchNorm is affine in evaluation mode
        sources = [source for source, _ in node.next_functions if source is not None]
        if name not in SHAPE_ONLY and not (name in ("MulBackward", "AddBackward") and len(sources) == 1):
            return False
        node = sources[0]
    return False


def _mixed_gradient(tape: Tape) -> Tensor:
    """Gradient of the sum over the units with fixed random signs."""
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, tape.units.shape, generator=generator).to(tape.units) * 2 - 1
    (mixed,) = torch.autograd.grad(
        (signs * tape.units).sum(), tape.leaf, retain_graph=True, allow_unused=True
    )
    if mixed is None:
        raise AttributionError("the layer's output does not depend on the image: choose another layer")
    return mixed
