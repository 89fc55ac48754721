"""Unsupervised segments: normalized cuts of superpixels, by colour or by colour, normal and distance.

Shi & Malik 2000, on the region adjacency graph of SLIC superpixels, as scikit-image has it. The weights of
the graph are exp(-|difference of the mean features|^2 / s^2).
"""

import numpy as np
from jaxtyping import Float, Int
from skimage import color, graph, segmentation

__all__ = ["by_colour", "by_shape"]

_SUPERPIXELS = 200
_CUT = 0.08


def by_colour(picture: Float[np.ndarray, "h w 3"]) -> Int[np.ndarray, "h w"]:
    """Segments of equal colour."""
    pieces = segmentation.slic(
        picture, n_segments=_SUPERPIXELS, compactness=12, start_label=0, channel_axis=-1, convert2lab=True
    )
    return _cut(pieces, color.rgb2lab(picture) / 100, 0.12)


def by_shape(
    picture: Float[np.ndarray, "h w 3"], normal: Float[np.ndarray, "h w 3"], metres: Float[np.ndarray, "h w"]
) -> Int[np.ndarray, "h w"]:
    """Segments of equal colour, normal and logarithm of distance, weighted 0.5, 0.8 and 1."""
    logs = np.log(np.maximum(metres, 0.1))[..., None]
    features = np.concatenate([0.5 * color.rgb2lab(picture) / 100, 0.8 * normal, logs], -1)
    pieces = segmentation.slic(
        features, n_segments=_SUPERPIXELS, compactness=0.08, start_label=0, channel_axis=-1, convert2lab=False
    )
    return _cut(pieces, features, 0.3)


def _cut(
    pieces: Int[np.ndarray, "h w"], features: Float[np.ndarray, "h w c"], spread: float
) -> Int[np.ndarray, "h w"]:
    """Cut the graph of superpixels; labels count from 0."""
    _, flat = np.unique(pieces, return_inverse=True)
    pieces = flat.reshape(pieces.shape)
    count = np.bincount(pieces.ravel())
    sums = [np.bincount(pieces.ravel(), features[..., k].ravel()) for k in range(features.shape[-1])]
    means = np.stack(sums, -1) / count[:, None]
    regions = graph.RAG(pieces, connectivity=2)
    for node in regions.nodes:
        regions.nodes[node]["labels"] = [node]
    for a, b, edge in regions.edges(data=True):
        edge["weight"] = float(np.exp(-((means[a] - means[b]) ** 2).sum() / spread**2))
    # The solver starts from a random vector: a fixed generator makes the same picture the same label.
    labels = graph.cut_normalized(pieces, regions, thresh=_CUT, num_cuts=10, rng=np.random.default_rng(0))
    return np.unique(labels, return_inverse=True)[1].reshape(pieces.shape)
