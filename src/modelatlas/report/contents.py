"""What figures and page show of an atlas, gathered once: models with their styles, matrices in tree order.

Drawing knows nothing of an atlas: it is handed these labels and matrices, and `examples` of maps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Float64

from modelatlas._types import DEFAULT_METHOD, SIGNED
from modelatlas.atlas import UNTRAINED, Atlas
from modelatlas.report.colour import Scale
from modelatlas.report.groups import NO_GROUP, GroupStyle, group_styles
from modelatlas.space import Tree

__all__ = ["Labels", "Matrix", "labels", "matrix", "method_title", "model_order", "subject"]

_TITLES: Final = {
    "saliency": "saliency",
    "gradient-x-input": "gradient × input",
    "epsilon-lrp": "ε-LRP",
}


def method_title(method: str) -> str:
    """Name of a method as it is set in text."""
    return _TITLES.get(method, method)


@dataclass(frozen=True)
class Labels:
    """How the names of charted models are set.

    Attributes
    ----------
    style
        Model -> style of its group, or `NO_GROUP`.
    untrained
        Models with random weights.
    groups
        Styles by group, in the order of a legend.
    """

    style: Mapping[str, GroupStyle]
    untrained: frozenset[str]
    groups: Mapping[str, GroupStyle]

    def text(self, model: str) -> str:
        """Name, with a stamp where the weights are random."""
        return model + UNTRAINED if model in self.untrained else model


@dataclass(frozen=True, eq=False)
class Matrix:
    """The affinities of one method, rows and columns in the order of the tree's leaves.

    Attributes
    ----------
    models
        Names in that order.
    values, low, high
        Affinities and the ends of their 95 % intervals.
    tree
        None for a model alone.
    scale
        Of the colours.
    measure
        What an affinity is, in words.
    """

    method: str
    models: tuple[str, ...]
    values: Float64[np.ndarray, "model model"]
    low: Float64[np.ndarray, "model model"]
    high: Float64[np.ndarray, "model model"]
    tree: Tree | None
    scale: Scale
    measure: str


def labels(atlas: Atlas) -> Labels:
    """Labels of the charted models."""
    charted = [model for model in atlas.models if model.charted]
    groups = group_styles(model.group for model in charted)
    return Labels(
        style={model.name: groups.get(model.group or "", NO_GROUP) for model in charted},
        untrained=atlas.untrained,
        groups=groups,
    )


def matrix(atlas: Atlas, method: str) -> Matrix:
    """Affinities of one method with intervals and tree."""
    frame, long = atlas.affinity(method), atlas.interval(method)
    tree = atlas.tree(method) if len(frame) > 1 else None
    order = tree.order if tree else tuple(frame.index)
    values = frame.loc[list(order), list(order)].to_numpy(dtype=np.float64)
    low, high = (_square(long, column, order) for column in ("low", "high"))
    return Matrix(
        method, order, values, low, high, tree, Scale.of(values), _measure(atlas.similarity, method)
    )


def _measure(similarity: str, method: str) -> str:
    without_sign = ", without sign" if similarity == "correlation" and method in SIGNED else ""
    return f"mean {similarity} of attribution maps{without_sign}"


def model_order(atlas: Atlas) -> tuple[str, ...]:
    """Charted models as the tree of the default method has them, or of the first one."""
    method = DEFAULT_METHOD if DEFAULT_METHOD in atlas.methods else atlas.methods[0]
    return atlas.tree(method).order if len(atlas.names) > 1 else atlas.names


def subject(atlas: Atlas) -> str:
    """Say in a few words of how many models, images, and which probe."""
    models, images = len(atlas.names), len(atlas.images())
    probe = atlas.document["probe"]["name"]
    return f"{_counted(models, 'model')}, {_counted(images, 'image')} of {probe}"


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _square(long: pd.DataFrame, column: str, order: tuple[str, ...]) -> Float64[np.ndarray, "model model"]:
    wide = long.pivot_table(index="source", columns="target", values=column, sort=False)
    return wide.loc[list(order), list(order)].to_numpy(dtype=np.float64)
