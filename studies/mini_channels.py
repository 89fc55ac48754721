"""Whether the plain sum over a code's channels hides something: one map a channel, compared as a set.

The method draws one map of a network: that of the sum of all units of its code. Here every one of the eight
channels gets a map of its own, and two networks' sets of eight maps are compared by linear CKA over the
cells (Kornblith et al. 2019), image by image: the order of the channels, their signs and any rotation among
them then do not matter. Of one map alone this is the squared correlation, so `--similarity correlation` is
its counterpart for the sum.
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

__all__ = ["channel_affinities", "networks", "rooms"]

BATCH = 20


def channel_affinities(*, images: int, grids: tuple[int, ...]) -> Iterator[tuple[str, int, pd.DataFrame]]:
    """Yield method, cells a side, and affinity of the zoo `mini` on the first `images` of `rooms`."""
    pictures = rooms(images)
    names, found = [], []
    for name, network in networks():
        parts = [_maps(network, part, max(grids)) for part in pictures.split(BATCH)]
        names.append(name)
        found.append(torch.cat(parts, 1).numpy())
    for grid in grids:
        side = max(grids) // grid
        cells = np.stack(found).reshape(len(names), 2, images, -1, grid, side, grid, side).sum((-3, -1))
        for number, method in enumerate(("saliency", "gradient-x-input")):
            yield method, grid, pd.DataFrame(_cka(cells[:, number]), names, names)


def rooms(images: int) -> Float[Tensor, "image 3 height width"]:
    """Read the first images of `rooms`, as every network of the zoo `mini` takes them."""
    probe, sight = open_probe("rooms", images=images), card("mini:autoencoder").input
    return torch.from_numpy(np.stack([sight.tensor(probe.square(place)) for place in range(len(probe))]))


def networks() -> Iterator[tuple[str, nn.Module]]:
    """Load the networks of the zoo `mini`, frozen."""
    for entry in read_zoo("mini").entries:
        yield entry.name, load(entry.spec.text).module.requires_grad_(False)


def _maps(network: nn.Module, pictures: Tensor, grid: int) -> Float[Tensor, "method image channel y x"]:
    pictures = pictures.clone().requires_grad_()
    code = network(pictures)
    totals = code.sum((0, 2, 3))
    slopes = [torch.autograd.grad(total, pictures, retain_graph=True)[0] for total in totals]
    maps = torch.stack([torch.stack([g.abs().mean(1), (g * pictures).mean(1)]) for g in slopes], 2).detach()
    return area_grid(maps.flatten(0, 2), grid=grid).unflatten(0, maps.shape[:3])


def _cka(maps: Float[np.ndarray, "model image channel y x"]) -> Float[np.ndarray, "model model"]:
    flat = maps.reshape(*maps.shape[:3], -1)
    flat = flat - flat.mean(-1, keepdims=True)
    total = np.zeros((len(flat), len(flat)))
    for image in np.moveaxis(flat, 1, 0):
        shared = (np.einsum("acx,bdx->abcd", image, image, optimize=True) ** 2).sum((2, 3))
        total += shared / np.sqrt(np.outer(shared.diagonal(), shared.diagonal()))
    return total / flat.shape[1]
