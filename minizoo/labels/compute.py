"""All labels of one view, at the size that networks are trained on."""

from dataclasses import dataclass

import numpy as np

from minizoo.kinds import PLACES
from minizoo.labels import colour, meaning, pose, segments, surface
from minizoo.labels.tasks import NAMES, TARGET_SIZE
from minizoo.store import View

__all__ = ["Labels", "compute", "shown"]


@dataclass(frozen=True)
class Labels:
    """Targets by task, and for masked tasks where they are known."""

    values: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]


def compute(view: View, *, color_size: int = TARGET_SIZE) -> Labels:
    """Compute the twenty targets; pixels are shrunk to 64 px by area, classes keep one pixel of a block.

    Geometry is read at its stored size, so whoever has the shards has the labels, to the bit of the
    libraries.
    """
    picture = _at(view.picture / 255.0, len(view.depth))
    depth, instance, fov = view.depth.astype(np.float64), view.instance, view.fov
    valid = instance > 0
    normal = surface.normals(view.normal, view.rotation)
    away = surface.distance(depth, fov)
    occlusion = surface.occlusion_edges(depth)
    bends, known = surface.curvature(depth, normal, instance, fov)
    small = _shrink(picture)
    values = {
        "autoencoder": small, "denoise": small, "inpainting_whole": small,
        "edge2d": _shrink(colour.edges(picture)[..., None]),
        "keypoint2d": _shrink(colour.keypoints(picture)[..., None]),
        "colorization": colour.color_classes(_at(picture, color_size)),
        "segment2d": segments.by_colour(small),
        "rgb2depth": surface.log_depth(_masked(depth, valid))[..., None],
        "rgb2mist": surface.log_depth(_masked(away, valid))[..., None],
        "rgb2sfnorm": _unit(_shrink(normal)),
        "reshade": _shrink(surface.reshade(depth, normal, fov)[..., None]),
        "edge3d": _shrink(occlusion[..., None]),
        "keypoint3d": _shrink(surface.corners(normal, occlusion)[..., None]),
        "curvature": _masked(bends, known),
        "segment25d": segments.by_shape(small, _unit(_shrink(normal)), _masked(away, valid)),
        "segmentsemantic": _corner(meaning.semantic(instance, view.instances)),
        "vanishing_point": pose.vanishing(view.rotation, view.yaw),
        "room_layout": pose.layout(view.size, view.location, view.rotation, view.yaw),
        "class_1000": meaning.object_shares(instance, view.instances),
        "class_places": np.eye(len(PLACES))[meaning.place_index(view.place)],
    }  # fmt: skip
    surfaces = _shrink(valid.astype(float)[..., None])[..., 0] > 0.5
    masks = dict.fromkeys(("rgb2depth", "rgb2mist", "rgb2sfnorm", "reshade"), surfaces)
    masks["curvature"] = _shrink(known.astype(float)[..., None])[..., 0] >= 0.5
    masks["segmentsemantic"] = values["segmentsemantic"] != meaning.VOID
    return Labels({name: values[name] for name in NAMES}, masks)


def shown(view: View, what: str) -> np.ndarray:
    """Return the input of a task, float in [0, 1], at the stored size of the view."""
    picture = _at(view.picture / 255.0, len(view.depth))
    if what == "noisy":
        return colour.noisy(picture, view.name)
    if what == "holed":
        return colour.holed(picture)
    return colour.grey(picture) if what == "grey" else picture


def _at(picture: np.ndarray, size: int) -> np.ndarray:
    """Probe pictures are stored larger than their geometry."""
    factor = len(picture) // size
    return picture.reshape(size, factor, size, factor, -1).mean((1, 3)) if factor > 1 else picture


def _shrink(array: np.ndarray) -> np.ndarray:
    """Average blocks down to the target size: [s, s, c] -> [64, 64, c]."""
    return _at(array, TARGET_SIZE)


def _masked(array: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Average blocks over their known pixels only."""
    weight = _shrink(mask.astype(float)[..., None])
    flat = array if array.ndim == 3 else array[..., None]
    mean = _shrink(flat * mask[..., None]) / np.maximum(weight, 1e-9)
    return mean if array.ndim == 3 else mean[..., 0]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)


def _corner(classes: np.ndarray) -> np.ndarray:
    """One pixel of every block: classes have no mean."""
    step = len(classes) // TARGET_SIZE
    return classes[step // 2 :: step, step // 2 :: step]
