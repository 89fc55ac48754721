"""What the plain sum over a code's channels hides: one map a channel, compared as a set.

The method draws one map of a network: that of the sum of all units of its code. Here every one of the eight
channels gets a map of its own, and two networks' sets of eight maps are compared by linear CKA over the
cells (Kornblith et al. 2019), image by image: the order of the channels, their signs and any rotation among
them then do not matter.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from modelatlas.attribution.grid import area_grid
from modelatlas.probe import open_probe
from modelatlas.zoo import card, load, read_zoo

__all__ = ["channel_affinities"]

BATCH = 20


def channel_affinities(*, images: int, grids: tuple[int, ...]) -> Iterator[tuple[str, int, pd.DataFrame]]:
    """Yield method, cells a side, and affinity of the zoo `mini` on the first `images` of `rooms`."""
    probe = open_probe("rooms", images=images)
    names, found = [], []
    for entry in read_zoo("mini").entries:
        sight = card(entry.spec.text).input
        pictures = torch.from_numpy(np.stack([sight.tensor(probe.square(k)) for k in range(len(probe))]))
        network = load(entry.spec.text).module.requires_grad_(False)
        parts = [_maps(network, pictures[k : k + BATCH], max(grids)) for k in range(0, images, BATCH)]
        names.append(entry.name)
        found.append(torch.cat(parts, 1).numpy())
    for grid in grids:
        side = max(grids) // grid
        cells = np.stack(found).reshape(len(names), 2, images, -1, grid, side, grid, side).sum((-3, -1))
        for number, method in enumerate(("saliency", "gradient-x-input")):
            yield method, grid, pd.DataFrame(_cka(cells[:, number]), names, names)


def _maps(network: nn.Module, pictures: Tensor, grid: int) -> Float[Tensor, "method image channel y x"]:
    pictures = pictures.clone().requires_grad_()
    code = network(pictures)
    slopes = [
        torch.autograd.grad(code[:, k].sum(), pictures, retain_graph=True)[0] for k in range(len(code[0]))
    ]
    maps = torch.stack([torch.stack([g.abs().mean(1), (g * pictures).mean(1)]) for g in slopes], 2).detach()
    return area_grid(maps.flatten(0, 2), grid=grid).unflatten(0, maps.shape[:3])


def _cka(
    maps: Float[np.ndarray, "model image channel y x"],
) -> Float[np.ndarray, "model model"]:
    flat = maps.reshape(*maps.shape[:3], -1)
    flat = flat - flat.mean(-1, keepdims=True)
    total = np.zeros((len(flat), len(flat)))
    for image in np.moveaxis(flat, 1, 0):
        shared = (np.einsum("acx,bdx->abcd", image, image, optimize=True) ** 2).sum((2, 3))
        total += shared / np.sqrt(np.outer(shared.diagonal(), shared.diagonal()))
    return total / flat.shape[1]
