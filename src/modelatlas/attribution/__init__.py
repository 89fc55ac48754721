"""Attribution maps of a model's target layer, and map vectors on the device.

The heart: `engine.attribute` runs the model once (`forward`), reads the modified backward pass off autograd's
graph (`tape`, with `rules` and `nonlinear`), and leaves the gradient methods to autograd.
"""

from modelatlas.attribution.engine import attribute
from modelatlas.attribution.folding import Folding
from modelatlas.attribution.forward import same_draws
from modelatlas.attribution.grid import area_grid, map_vectors
from modelatlas.attribution.hidden import through_no_grad
from modelatlas.attribution.layers import LayerInfo, TargetLayer, candidate_layers, target_layer

__all__ = [
    "Folding",
    "LayerInfo",
    "TargetLayer",
    "area_grid",
    "attribute",
    "candidate_layers",
    "map_vectors",
    "same_draws",
    "target_layer",
    "through_no_grad",
]
