"""ModelAtlas: which pretrained models are close to which, without labels and without training.

Importing this package loads neither torch nor any room; names are resolved at first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelatlas.atlas import Atlas, open_atlas
    from modelatlas.attribution import attribute, target_layer, through_no_grad
    from modelatlas.charting import chart
    from modelatlas.errors import AttributionError, ModelAtlasError

__all__ = [
    "Atlas",
    "AttributionError",
    "ModelAtlasError",
    "attribute",
    "chart",
    "open_atlas",
    "target_layer",
    "through_no_grad",
]

__version__ = "0.1.0"

_HOME = {
    "Atlas": "modelatlas.atlas",
    "AttributionError": "modelatlas.errors",
    "ModelAtlasError": "modelatlas.errors",
    "attribute": "modelatlas.attribution",
    "chart": "modelatlas.charting",
    "open_atlas": "modelatlas.atlas",
    "target_layer": "modelatlas.attribution",
    "through_no_grad": "modelatlas.attribution",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'modelatlas' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
