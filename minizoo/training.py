"""Train one network a task: the same initial weights, views, order of views and number of steps for all.

AdamW with a one-cycle rate; half of the views mirrored; the epoch with the smallest validation loss is
kept, since whole-image tasks overfit the rooms. Everything random is drawn from (seed, epoch): a training
that was stopped at any point goes on from its last whole epoch and, on the same machine with as many
threads, ends with the same bytes. Autocast to bfloat16 where the processor multiplies it (1.75 times as
fast as float32, measured).
"""

import copy
import hashlib
import io
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from minizoo.dataset import Views, batches, order
from minizoo.errors import RecipeChangedError, SpoiltViewError
from minizoo.losses import Goal, see
from minizoo.networks import build_decoder, build_encoder
from minizoo.paths import write_bytes
from modelatlas.run.precision import has_bfloat16
from modelatlas.zoo.architectures.mini import Bottleneck, Encoder

__all__ = [
    "Course",
    "Stopped",
    "Trained",
    "arithmetic",
    "best_constant",
    "describe",
    "judge",
    "train",
]


@dataclass(frozen=True)
class Course:
    """What all twenty trainings share."""

    steps: int = 2400
    batch: int = 32
    rate: float = 2e-3
    decay: float = 0.05
    warmup: float = 0.1  # share of the steps
    seed: int = 7
    bottleneck: Bottleneck = "relu"
    bfloat16: bool = True


@dataclass(frozen=True)
class Trained:
    """A finished training: the networks of its best epoch, in eval mode, and how it went."""

    encoder: Encoder
    decoder: nn.Module
    goal: Goal
    history: tuple[dict[str, float], ...]


class Stopped(Exception):  # noqa: N818 (not an error: the time that was given is over)
    """The deadline has passed; whole epochs are saved."""


def arithmetic(wanted: bool) -> str:
    """Tell what a network computes in: bfloat16 if that is wanted and the processor multiplies it."""
    return "bfloat16" if wanted and has_bfloat16(torch.device("cpu")) else "float32"


@contextmanager
def precision(wanted: bool) -> Iterator[None]:
    """Autocast to bfloat16 if wanted and worth it."""
    with torch.autocast("cpu", torch.bfloat16, enabled=arithmetic(wanted) == "bfloat16"):
        yield


def train(
    goal: Goal,
    training: Views,
    validation: Views,
    folder: Path,
    *,
    course: Course,
    deadline: float = math.inf,
    say: Callable[[str], None] = lambda _: None,
) -> Trained:
    """Train, or go on with, the network of one task.

    Parameters
    ----------
    goal
        The task, fitted on `training`.
    folder
        Holds the state after the last whole epoch.
    deadline
        On `time.monotonic`; looked at after every epoch.

    Raises
    ------
    RecipeChangedError
        The folder holds another course, task or other data.
    SpoiltViewError
        There are fewer than two views.
    Stopped
        The deadline passed before the last step.
    """
    if len(training) < 2:
        raise SpoiltViewError(training.digest, f"{len(training)} views to train on; BatchNorm needs two")
    run = _Run(goal, course, training.digest)
    run.resume(folder)
    while run.step < course.steps:
        started = time.monotonic()
        rows = order(len(training), seed=course.seed, epoch=len(run.history))
        loss = run.epoch(training, rows[: (course.steps - run.step) * course.batch])
        score = float(judge(run.encoder, run.decoder, goal, validation, bfloat16=course.bfloat16).mean())
        run.note(loss, score, time.monotonic() - started)
        run.save(folder)
        say(f"{goal.task.name} {run.step}/{course.steps}: loss {loss:.4f}, validation {score:.4f}")
        if time.monotonic() > deadline and run.step < course.steps:
            raise Stopped(f"{goal.task.name}: stopped at step {run.step} of {course.steps}")
    return run.finish()


def describe(goal: Goal, course: Course, data: str) -> dict[str, object]:
    """Return everything that decides how a training ends, as JSON-able data; `data` is its views' digest."""
    return json.loads(json.dumps({"course": asdict(course), "goal": goal.describe(), "data": data}))


class _Run:
    """Networks, optimiser and history of one training."""

    def __init__(self, goal: Goal, course: Course, data: str) -> None:
        self.goal, self.course = goal, course
        self.about = describe(goal, course, data)
        self.encoder = build_encoder(seed=course.seed, bottleneck=course.bottleneck)
        self.decoder = build_decoder(goal.task.side, goal.outputs, seed=course.seed)
        self.optimiser = torch.optim.AdamW(self._decays(), lr=course.rate)
        self.step = 0
        self.history: list[dict[str, float]] = []
        self.best: dict[str, dict[str, Tensor]] = {}

    def _decays(self) -> list[dict[str, object]]:
        """Weight decay on matrices and kernels; none on biases and BatchNorm."""
        parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        return [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.course.decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]

    def epoch(self, views: Views, rows: np.ndarray) -> float:
        """Train on the rows once; return the mean loss."""
        course, goal = self.course, self.goal
        draws = [course.seed, len(self.history)]
        generator = torch.Generator().manual_seed(draws[0] * 100_003 + draws[1])
        self.encoder.train(), self.decoder.train()
        total, count = 0.0, 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(draws[0] * 100_003 + draws[1])  # dropout
            for batch in batches(views, goal, rows, size=course.batch, flips=np.random.default_rng(draws)):
                for group in self.optimiser.param_groups:
                    group["lr"] = _rate(course, self.step)
                shown = see(batch.pictures, goal.task.sight, generator=generator)
                with precision(course.bfloat16):
                    answer = self.decoder(self.encoder(shown.contiguous(memory_format=torch.channels_last)))
                loss = goal.losses(answer, batch.target, generator=generator).mean()
                self.optimiser.zero_grad()
                loss.backward()
                self.optimiser.step()
                total, count, self.step = total + loss.item(), count + 1, self.step + 1
        return total / max(count, 1)

    def note(self, loss: float, score: float, seconds: float) -> None:
        """Close an epoch; keep the networks if they are the best so far."""
        if not self.history or score < min(entry["validation"] for entry in self.history):
            self.best = copy.deepcopy(
                {"encoder": self.encoder.state_dict(), "decoder": self.decoder.state_dict()}
            )
        self.history.append({"step": self.step, "training": loss, "validation": score, "seconds": seconds})

    def save(self, folder: Path) -> None:
        """Write the state beside its place, then rename."""
        state = {
            "about": self.about, "encoder": self.encoder.state_dict(), "decoder": self.decoder.state_dict(),
            "optimiser": self.optimiser.state_dict(), "best": self.best, "step": self.step,
            "history": self.history,
        }  # fmt: skip
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_bytes(folder / "state.pt", buffer.getvalue())

    def resume(self, folder: Path) -> None:
        """Take up the state of the last whole epoch, if there is one."""
        path = folder / "state.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        if state["about"] != self.about:
            raise RecipeChangedError(path, _short(state["about"]), _short(self.about))
        self.encoder.load_state_dict(state["encoder"])
        self.decoder.load_state_dict(state["decoder"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.best, self.step, self.history = state["best"], state["step"], state["history"]

    def finish(self) -> Trained:
        """Load the best epoch's networks."""
        self.encoder.load_state_dict(self.best["encoder"])
        self.decoder.load_state_dict(self.best["decoder"])
        return Trained(self.encoder.eval(), self.decoder.eval(), self.goal, tuple(self.history))


@torch.inference_mode()
def judge(
    encoder: nn.Module, decoder: nn.Module, goal: Goal, views: Views, *, bfloat16: bool = True
) -> Float[np.ndarray, " view"]:
    """Loss of every view, in eval mode, with the same noise and pixels every time."""
    encoder.eval(), decoder.eval()
    generator = torch.Generator().manual_seed(0)
    losses = []
    for batch in batches(views, goal, np.arange(len(views)), size=32):
        shown = see(batch.pictures, goal.task.sight, generator=generator)
        with precision(bfloat16):
            answer = decoder(encoder(shown.contiguous(memory_format=torch.channels_last)))
        losses.append(goal.losses(answer, batch.target))
    return torch.cat(losses).numpy()


def best_constant(
    goal: Goal, training: Views, views: Views, *, steps: int = 300
) -> Float[np.ndarray, " view"]:
    """Loss of every view under the best answer that does not look at the picture.

    The answer may differ from place to place (floors lie below). It is found by gradient descent on the
    task's own loss, which serves every loss alike: l1, l2 and classes come to median, mean and shares.
    Where few training views make such an answer noisy, one answer for all places is better: the smaller
    mean loss counts.
    """
    side = goal.task.side
    found = []
    for shape in {(1, goal.outputs, side, side), (1, goal.outputs, 1, 1)} if side else {(1, goal.outputs)}:
        generator = torch.Generator().manual_seed(0)
        answer = torch.zeros(shape)
        if goal.task.judge == "pairs":
            answer = 0.5 * torch.randn(shape, generator=generator)
        answer.requires_grad_()
        optimiser = torch.optim.Adam([answer], lr=0.1)
        step = 0
        while step < steps:
            rows = order(len(training), seed=0, epoch=step)
            for batch in batches(training, goal, rows, size=64):
                optimiser.param_groups[0]["lr"] = 0.1 * (1 - step / steps)
                whole = answer.expand(len(batch.rows), goal.outputs, *[side] * (2 * bool(side)))
                loss = goal.losses(whole, batch.target, generator=generator).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                step += 1
                if step == steps:
                    break
        with torch.inference_mode():
            parts = [
                goal.losses(answer.expand(len(b.rows), goal.outputs, *[side] * (2 * bool(side))), b.target)
                for b in batches(views, goal, np.arange(len(views)), size=64)
            ]
        found.append(torch.cat(parts).numpy())
    return min(found, key=np.mean)


def _rate(course: Course, step: int) -> float:
    """One cycle: linear rise over the warm-up, then half a cosine to 1 % of the top."""
    rise = course.warmup * course.steps
    if step < rise:
        return course.rate * (step + 1) / (rise + 1)
    share = (step - rise) / max(course.steps - rise, 1)
    return course.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))


def _short(about: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]
