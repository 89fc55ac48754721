"""Measure transfers: a small readout on a frozen encoder, from few views of buildings no encoder has seen.

The encoder's codes of the transfer views are computed once, and for every target a readout learns from
them. Budget, views, their order and the readout's initial weights are the same for all sources; of CHECKS
equally spaced looks at the validation views the best is kept. Codes are standardised per channel first, so
that no source gains by its scale. The loss of every test view is kept, since affinities are made of win
rates (`modelatlas.evaluation`).

Three more rows say how much there is to win: `random` (the untrained encoder that all trainings started
from, its BatchNorm set to the statistics of the transfer views), `scratch` (the whole network, trained on
the transfer views alone for as many steps), `constant` (the best answer that sees no picture).

What encoders are shown follows the target: noisy pictures where the target is `denoise`, plain ones else. All
of it is computed in float32: a target begun on one processor may be finished on another.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from minizoo.dataset import Views, batches, order
from minizoo.losses import Goal, Sight, see
from minizoo.networks import build_decoder, build_encoder
from modelatlas.zoo.architectures.mini import CODE, Bottleneck, Encoder

__all__ = [
    "ROWS",
    "Budget",
    "Split",
    "codes_of",
    "encode",
    "readout",
    "scratch",
    "sight_of",
    "untrained",
    "wanted",
]

ROWS = ("random", "scratch", "constant")
CHECKS = 5
PARTS = ("training", "validation", "test")


@dataclass(frozen=True)
class Budget:
    """What all readouts share."""

    steps: int = 320
    batch: int = 32
    rate: float = 4e-3
    decay: float = 0.02
    seed: int = 11
    constant_steps: int = 300  # of the search for the best constant


@dataclass(frozen=True)
class Split:
    """Views that a readout learns from, is chosen by, and is measured on."""

    training: Views
    validation: Views
    test: Views


Parts = dict[str, Tensor]  # part of a split -> one row a view


@torch.inference_mode()
def encode(encoder: Encoder, split: Split, sight: Sight) -> Parts:
    """Compute the standardised codes of a frozen encoder; noise is the same for every encoder.

    Returns
    -------
        For each part float32 [view, 8, 8, 8]; over the training part every live channel has mean 0 and
        deviation 1, a dead one is 0.
    """
    codes = {part: codes_of(encoder, getattr(split, part), sight) for part in PARTS}
    deviation, mean = torch.std_mean(codes["training"], (0, 2, 3), keepdim=True)
    return {part: (code - mean) / deviation.clamp(min=1e-4) for part, code in codes.items()}


@torch.inference_mode()
def codes_of(encoder: Encoder, views: Views, sight: Sight) -> Float[Tensor, "view channel y x"]:
    """Compute the codes of a frozen encoder as they are."""
    encoder.eval()
    generator = torch.Generator().manual_seed(0)
    codes = torch.empty(len(views), *CODE)
    for start in range(0, len(views), 64):
        part = slice(start, min(start + 64, len(views)))
        shown = see(_pictures(views, part), sight, generator=generator)
        codes[part] = encoder(shown.contiguous(memory_format=torch.channels_last))
    return codes


def wanted(goal: Goal, split: Split) -> Parts:
    """Compute all answers wanted of a target, once for all sources."""

    def every(views: Views) -> Tensor:
        rows = np.arange(len(views))
        return torch.cat([batch.target for batch in batches(views, goal, rows, size=64)])

    return {part: every(getattr(split, part)) for part in PARTS}


def readout(codes: Parts, targets: Parts, goal: Goal, *, budget: Budget) -> Float[np.ndarray, " view"]:
    """Train a readout of one target from the codes of one source; return the loss of every test view."""
    decoder = build_decoder(goal.task.side, goal.outputs, seed=budget.seed, readout=True)

    def answer(part: str, rows: np.ndarray | slice) -> Tensor:
        return decoder(codes[part][rows].contiguous(memory_format=torch.channels_last))

    return _fit(decoder, answer, targets, goal, budget)


def scratch(
    split: Split, targets: Parts, goal: Goal, *, seed: int, budget: Budget, bottleneck: Bottleneck = "relu"
) -> Float[np.ndarray, " view"]:
    """Train the whole network on the transfer views alone; return the loss of every test view.

    `seed` is that of the encoders' initial weights.
    """
    encoder = build_encoder(seed=seed, bottleneck=bottleneck)
    network = nn.Sequential(
        encoder, build_decoder(goal.task.side, goal.outputs, seed=budget.seed, readout=True)
    )
    generator = torch.Generator().manual_seed(budget.seed)

    def answer(part: str, rows: np.ndarray | slice) -> Tensor:
        noise = generator if part == "training" else torch.Generator().manual_seed(0)
        shown = see(_pictures(getattr(split, part), rows), sight_of(goal), generator=noise)
        return network(shown.contiguous(memory_format=torch.channels_last))

    return _fit(network, answer, targets, goal, budget)


def sight_of(goal: Goal) -> Sight:
    """Tell what encoders are shown for a target."""
    return "noisy" if goal.task.sight == "noisy" else "plain"


@torch.no_grad()
def untrained(views: Views, *, seed: int, bottleneck: Bottleneck = "relu") -> Encoder:
    """Return the encoder all trainings started from, its BatchNorm set to the statistics of 512 plain views.

    Without that its running statistics are 0 and 1, its codes nearly 0: a straw man.
    """
    encoder = build_encoder(seed=seed, bottleneck=bottleneck)
    for layer in encoder.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # a plain mean over the batches
    encoder.train()
    for start in range(0, min(len(views), 512), 64):
        pictures = _pictures(views, slice(start, min(start + 64, len(views))))
        encoder(pictures.contiguous(memory_format=torch.channels_last))
    return encoder.eval()


def _pictures(views: Views, rows: np.ndarray | slice) -> Float[Tensor, "view 3 height width"]:
    return torch.from_numpy(np.array(views.pictures[rows])).permute(0, 3, 1, 2).float() / 127.5 - 1


def _fit(
    network: nn.Module,
    answer: Callable[[str, np.ndarray | slice], Tensor],
    targets: Parts,
    goal: Goal,
    budget: Budget,
) -> Float[np.ndarray, " view"]:
    optimiser = torch.optim.AdamW(network.parameters(), lr=budget.rate, weight_decay=budget.decay)
    generator = torch.Generator().manual_seed(budget.seed)
    looks = {round(budget.steps * (k + 1) / CHECKS) for k in range(CHECKS)}
    best, kept = math.inf, None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(budget.seed)  # dropout
        for step, rows in enumerate(_draws(len(targets["training"]), budget), start=1):
            network.train()
            rise = min(1.0, step / (0.05 * budget.steps + 1))
            for group in optimiser.param_groups:
                group["lr"] = budget.rate * rise * 0.5 * (1 + math.cos(math.pi * step / (budget.steps + 1)))
            loss = goal.losses(
                answer("training", rows), targets["training"][rows], generator=generator
            ).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if step in looks:
                score = float(_judge(network, answer, targets, goal, "validation").mean())
                if score < best:
                    best, kept = score, _judge(network, answer, targets, goal, "test")
    if kept is None:
        raise FloatingPointError(f"{goal.task.name}: no look at the validation views gave a finite loss")
    return kept


def _draws(count: int, budget: Budget) -> list[np.ndarray]:
    size = min(budget.batch, count)
    whole = count // size
    epochs = math.ceil(budget.steps / whole)
    rows = [order(count, seed=budget.seed, epoch=epoch)[: whole * size] for epoch in range(epochs)]
    return np.split(np.concatenate(rows), epochs * whole)[: budget.steps]


@torch.inference_mode()
def _judge(
    network: nn.Module,
    answer: Callable[[str, np.ndarray | slice], Tensor],
    targets: Parts,
    goal: Goal,
    part: str,
) -> Float[np.ndarray, " view"]:
    network.eval()
    starts = range(0, len(targets[part]), 64)
    slices = [slice(start, min(start + 64, len(targets[part]))) for start in starts]
    return torch.cat([goal.losses(answer(part, rows), targets[part][rows]) for rows in slices]).numpy()
