"""What each of the twenty tasks sees, answers, and how its answer is judged.

Every loss is computed **per image**: the same function trains a network, compares it with the best constant
answer, and gives the win rates of the transfers. Deviations from Taskonomy:

- depth, distance and vectors are standardised on the training views (in rooms log depth has a standard
  deviation of .04: any answer looks good); the adversarial part of the pixel losses is left out;
- sparse targets (3D edges, keypoints, curvature) are weighed by 1 + BALANCE * |y| / mean |y|, or a constant
  near zero is the best answer that a short training finds;
- classes of pixels are weighed by share ** -REBALANCE, normalised to a mean of 1 over pixels and cut at 5
  (colours are not: they differ too much from building to building); colours seen in less than RARE of the
  pixels count as the nearest one that is not rare;
- colorization is shown some squares that keep their colour, as in Zhang et al. 2017: hues of walls and covers
  are drawn at random here, and from luma alone nobody can tell them (see LEARNING.md);
- classes and shares of the whole picture are judged by the Kullback-Leibler divergence, cross-entropy less
  the target's own entropy (a class is smoothed by SMOOTHING), so that a perfect answer has the loss 0;
- segments are learned as an embedding, by pairs of pixels (Fathi et al. 2017, as in Taskonomy): with the
  similarity s = 2 / (1 + exp(|a - b|^2)), cross-entropy of "same segment", both kinds of pairs weighing half.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from minizoo.networks import LUMA, OUTPUT

__all__ = ["BY_NAME", "GROUPS", "TARGETS", "TASKS", "Goal", "Task", "mirror", "see"]

GROUPS = ("2D", "3D", "geometric", "semantic")
BALANCE = 2.0
RARE = 1e-3
SMOOTHING = 0.1
REBALANCE = 0.5
PIXELS = 128  # drawn per image for the pairs of a segment embedding
EMBEDDING = 16
HINT = 1 / 8  # chance that a picture's hints end with the next one
MOST_HINTS = 32
SIDES = (4, 20)  # pixels

Judge = Literal["l1", "l2", "classes", "shares", "pairs"]
Sight = Literal["plain", "hinted", "noisy", "hole"]


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes
    ----------
    target
        Name of the label in the data; "" where the picture itself is the target.
    outputs
        Channels of the decoder's answer.
    side
        Its side in pixels; 0 for a vector.
    judge
        The loss: "l1", "l2"; cross-entropy with class numbers ("classes") or a distribution ("shares");
        "pairs" of pixels.
    sight
        What the encoder is shown.
    sparse
        Weigh by the target's magnitude.
    rebalance
        Exponent of the weights of classes of pixels: share ** -rebalance.
    source_only
        No transfers to it, as in the paper.
    """

    name: str
    group: str
    target: str
    outputs: int
    side: int
    judge: Judge
    sight: Sight = "plain"
    sparse: bool = False
    rebalance: float = REBALANCE
    source_only: bool = False

    @property
    def decoder(self) -> Literal["pixel", "vector"]:
        """Kind of decoder."""
        return "pixel" if self.side else "vector"


_P = OUTPUT
TASKS = (
    Task("autoencoder", "2D", "", 3, _P, "l1"),
    Task("denoise", "2D", "", 3, _P, "l1", "noisy"),
    Task("inpainting_whole", "2D", "", 3, _P, "l1", "hole", source_only=True),
    Task(
        "colorization", "2D", "colorization", 259, _P // 2, "classes", "hinted", rebalance=0, source_only=True
    ),
    Task("edge2d", "2D", "edge2d", 1, _P, "l1"),
    Task("keypoint2d", "2D", "keypoint2d", 1, _P, "l1", sparse=True),
    Task("segment2d", "2D", "segment2d", EMBEDDING, _P, "pairs"),
    Task("curvature", "3D", "curvature", 2, _P, "l1", sparse=True),
    Task("edge3d", "3D", "edge3d", 1, _P, "l1", sparse=True),
    Task("keypoint3d", "3D", "keypoint3d", 1, _P, "l1", sparse=True),
    Task("reshade", "3D", "reshade", 1, _P, "l1"),
    Task("rgb2depth", "3D", "rgb2depth", 1, _P, "l1"),
    Task("rgb2mist", "3D", "rgb2mist", 1, _P, "l1"),
    Task("rgb2sfnorm", "3D", "rgb2sfnorm", 3, _P, "l1"),
    Task("segment25d", "3D", "segment25d", EMBEDDING, _P, "pairs"),
    Task("room_layout", "geometric", "room_layout", 9, 0, "l2"),
    Task("vanishing_point", "geometric", "vanishing_point", 9, 0, "l2"),
    Task("segmentsemantic", "semantic", "segmentsemantic", 17, _P, "classes"),
    Task("class_1000", "semantic", "class_1000", 96, 0, "shares"),
    Task("class_places", "semantic", "class_places", 10, 0, "classes"),
)
BY_NAME = {task.name: task for task in TASKS}
TARGETS = tuple(task.name for task in TASKS if not task.source_only)

# In a mirrored room right is left. The second of its axes is the one to the left, so it turns round as well.
_SIGNS = {
    "rgb2sfnorm": (-1, 1, 1),
    "vanishing_point": (-1, 1, 1, 1, -1, -1, -1, 1, 1),
    "room_layout": (-1, 1, 1, -1, 1, -1, 1, 1, 1),
}


def mirror(task: Task, target: Tensor, which: Tensor) -> Tensor:
    """Targets of the pictures that were mirrored left to right, where `which` [image] says so."""
    other = target.flip(-1) if task.side else target
    if task.target in _SIGNS:
        signs = other.new_tensor(_SIGNS[task.target])
        other = other * (signs.view(1, -1, 1, 1) if task.side else signs)
    return torch.where(which.view(-1, *[1] * (target.ndim - 1)), other, target)


def see(
    picture: Float[Tensor, "image 3 height width"], sight: Sight, *, generator: torch.Generator | None = None
) -> Tensor:
    """Return what an encoder is shown of a picture in [-1, 1].

    "noisy": Gaussian noise of variance .01 on the scale [0, 1], so of deviation .2 here; "hole": the middle
    half of both sides is grey; "hinted": luma in all channels, but for a few small squares that keep their
    colour (`networks.fold_luma` makes the encoder take luma alone).
    """
    if sight == "noisy":
        return (picture + 0.2 * torch.randn(picture.shape, generator=generator)).clamp(-1, 1)
    if sight == "hinted":
        luma = (picture * picture.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
        return torch.where(_hints(picture.shape, generator), picture, luma)
    if sight == "hole":
        height, width = picture.shape[-2:]
        holed = picture.clone()
        holed[..., height // 4 : height * 3 // 4, width // 4 : width * 3 // 4] = 0
        return holed
    return picture


def _hints(shape: torch.Size, generator: torch.Generator | None) -> Tensor:
    """Draw which pixels of each picture keep their colour: [image 1 row column].

    As in Zhang et al. 2017 (Real-time user-guided image colorization): a geometric number of squares, mean 7,
    none in every eighth picture; but larger ones, since training is short, and anywhere with equal chance.
    """
    images, _, height, width = shape
    share = torch.rand((images, 1), generator=generator)
    count = torch.log1p(-share) / math.log1p(-HINT)
    shown = torch.arange(MOST_HINTS) < count.floor()
    side, y, x = torch.rand((3, images, MOST_HINTS), generator=generator)
    side = SIDES[0] + ((SIDES[1] - SIDES[0] + 1) * side).floor()

    def within(start: Tensor, size: int) -> Tensor:
        first = (start * (size - side + 1)).floor()[..., None]
        place = torch.arange(size)
        return ((place >= first) & (place < first + side[..., None])).float()

    rows, columns = within(y, height) * shown[..., None], within(x, width)
    return (rows.mT @ columns > 0)[:, None]


@dataclass(frozen=True)
class Goal:
    """A task with the numbers, fitted on the training views, that standardise and weigh its target.

    Attributes
    ----------
    mean, scale
        Per channel or component, over valid values; 0 and 1 where the target needs none. A component that
        never changes (a camera's roll) has scale infinity, so that it is 0 and cannot be got wrong.
    weights
        One per class; empty where there are no classes.
    merged
        For every class of the label the class of the answer.
    magnitude
        Mean |target| of a sparse task, else 0.
    """

    task: Task
    outputs: int
    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    weights: tuple[float, ...] = ()
    merged: tuple[int, ...] = ()
    magnitude: float = 0.0

    @classmethod
    def fit(cls, task: Task, target: np.ndarray | None, *, centres: np.ndarray | None = None) -> "Goal":
        """Fit to the training views' target (None where the picture is the target).

        `centres` [class, dimension] says which class is nearest to a rare one.
        """
        if target is None or task.judge == "pairs":
            return cls(task, task.outputs)
        if task.judge == "shares":
            return cls(task, target.shape[1])
        if task.judge == "classes":
            shares = _shares(target, task.outputs if centres is None else len(centres))
            merged = np.arange(len(shares)) if centres is None else _merge(shares, centres)
            kept = np.bincount(merged, shares)
            return cls(
                task, len(kept), weights=_class_weights(kept, task.rebalance), merged=tuple(merged.tolist())
            )
        axes = (0, 2, 3) if task.side else (0,)
        values = np.asarray(target, np.float64)
        mean, spread = np.nanmean(values, axes), np.nanstd(values, axes)
        scale = np.where(spread > 1e-4, spread, np.inf)
        if task.sparse:  # a zero stays zero
            mean = np.zeros_like(mean)
        magnitude = float(np.nanmean(np.abs(values) / _broad(scale, task))) if task.sparse else 0.0
        return cls(task, task.outputs, tuple(mean.tolist()), tuple(scale.tolist()), magnitude=magnitude)

    def target(self, picture: Tensor, label: Tensor | None) -> Tensor:
        """Return the answer wanted, standardised; NaN or -1 where there is none."""
        if label is None:
            return F.avg_pool2d(picture, picture.shape[-1] // self.task.side)
        if self.task.judge == "pairs":
            return label.long()
        if self.task.judge == "classes":
            merged = torch.tensor([*self.merged, -1])
            return merged[label.long()]  # -1 is the last
        label = label.float()
        if self.task.judge == "shares":
            return label
        mean, scale = label.new_tensor(self.mean), label.new_tensor(self.scale)
        if self.task.side:
            mean, scale = mean.view(1, -1, 1, 1), scale.view(1, -1, 1, 1)
        return (label - mean) / scale

    def losses(
        self, answer: Tensor, target: Tensor, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, " image"]:
        """Loss of every image, float32; 0 for an image without any valid target.

        Parameters
        ----------
        answer
            The decoder's answer.
        target
            As `target` returns it.
        generator
            Draws the pixels of a segment embedding; without one, a fixed draw.
        """
        answer, judge = answer.float(), self.task.judge
        if judge == "pairs":
            return _pairs(answer, target, generator)
        if judge == "shares":
            return F.kl_div(F.log_softmax(answer, 1), target, reduction="none").sum(1)
        if judge == "classes":
            return self._classes(answer, target)
        valid = torch.isfinite(target)
        wanted = torch.where(valid, target, 0)
        error = (answer - wanted).abs() if judge == "l1" else (answer - wanted).square()
        weight = valid.float()
        if self.task.sparse:
            weight = weight * (1 + BALANCE * wanted.abs() / self.magnitude)
        return (error * weight).flatten(1).sum(1) / valid.flatten(1).sum(1).clamp(min=1)

    def _classes(self, answer: Tensor, target: Tensor) -> Tensor:
        if not self.task.side:
            smooth = F.one_hot(target, self.outputs) * (1 - SMOOTHING) + SMOOTHING / self.outputs
            return F.kl_div(F.log_softmax(answer, 1), smooth, reduction="none").sum(1)
        weights = answer.new_tensor(self.weights)
        loss = F.cross_entropy(answer, target, weight=weights, ignore_index=-1, reduction="none")
        return loss.flatten(1).sum(1) / (target >= 0).flatten(1).sum(1).clamp(min=1)

    def describe(self) -> Mapping[str, object]:
        """Everything that was fitted, as JSON-able data."""
        return {
            "task": self.task.name, "outputs": self.outputs, "mean": self.mean,
            "scale": [None if math.isinf(s) else s for s in self.scale], "weights": self.weights,
            "merged": self.merged, "magnitude": self.magnitude,
        }  # fmt: skip


def _broad(values: np.ndarray, task: Task) -> np.ndarray:
    return values.reshape(1, -1, 1, 1) if task.side else values


def _shares(target: np.ndarray, classes: int) -> Float[np.ndarray, " class"]:
    counts = np.bincount(np.asarray(target[target >= 0], np.int64).ravel(), minlength=classes)
    if len(counts) > classes:
        raise ValueError(f"class {len(counts) - 1} in a label of {classes} classes")
    return counts / max(counts.sum(), 1)


def _merge(shares: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return for every class its number among those that are not rare: its own or the nearest one's."""
    kept = np.flatnonzero(shares >= min(RARE, shares.max()))
    return ((centres[:, None] - centres[kept]) ** 2).sum(-1).argmin(1)


def _class_weights(shares: np.ndarray, rebalance: float) -> tuple[float, ...]:
    weights = np.where(shares > 0, np.maximum(shares, 1e-6) ** -rebalance, 0)
    return tuple(np.minimum(weights / max((weights * shares).sum(), 1e-12), 5.0).tolist())


def _pairs(answer: Tensor, segments: Tensor, generator: torch.Generator | None) -> Tensor:
    height, width = answer.shape[-2:]
    if generator is None:
        generator = torch.Generator().manual_seed(0)
    pixels = torch.randperm(height * width, generator=generator)[:PIXELS]
    vectors = answer.flatten(2)[:, :, pixels].transpose(1, 2)
    labels = segments.flatten(1)[:, pixels]
    norms = vectors.square().sum(-1)
    distance = (norms[:, :, None] + norms[:, None] - 2 * vectors @ vectors.mT).clamp(min=0)
    same = (labels[:, :, None] == labels[:, None]).float()
    # -log s, and -log(1 - s) = -log tanh(d / 2), kept off 0 so that twins give a finite slope
    attract = (F.softplus(distance) - math.log(2)) * (same - torch.eye(PIXELS))
    repel = -torch.log(torch.tanh(distance / 2) + 1e-3) * (1 - same)
    pairs = same.sum((1, 2))
    alike, unlike = (pairs - PIXELS).clamp(min=1), (PIXELS**2 - pairs).clamp(min=1)
    return (attract.sum((1, 2)) / alike + repel.sum((1, 2)) / unlike) / 2
