"""The trainings and transfers of all tasks: what there is to do, who does it, where it lies.

What is going on lies under `LEARNING/<variant>`: `runs/<task>/` (state) and
`transfers/<target>/<source>-<seed>.npz`. What is finished lies in `home`, as it ships: `buildings.json` (the
floors that were used), `encoders/<task>.safetensors`, `trainings/<task>.json` (what made it, its losses by
epoch, its score). Transfers are measured with the weights that ship. Any number of processes share the work
by file locks, which die with their process; each takes the next piece that nobody has.
"""

import hashlib
import io
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import torch
from safetensors.torch import load

from minizoo.dataset import Views
from minizoo.errors import MinizooError, RecipeChangedError
from minizoo.labelled import LEARNING, finished, prepare
from minizoo.losses import BY_NAME, TARGETS, TASKS, Goal
from minizoo.networks import build_encoder, fold_luma, quiet_units, weights_bytes
from minizoo.paths import write_bytes
from minizoo.training import Course, Trained, best_constant, describe, judge, train
from minizoo.transfer import (
    ROWS,
    Budget,
    Split,
    codes_of,
    encode,
    readout,
    scratch,
    sight_of,
    untrained,
    wanted,
)
from modelatlas.zoo.architectures.mini import Encoder

__all__ = ["AGAIN", "SPLITS", "Workplace", "tiny_splits"]

AGAIN = ("rgb2depth", "rgb2sfnorm", "autoencoder", "edge3d", "segmentsemantic", "vanishing_point")
_LOOKS = 256  # views a readout is chosen by
_LABELLED = 1000  # views a readout learns from
SPLITS = {"training": "train", "validation": "val", "transfer": "transfer", "test": "test"}

Say = Callable[[str], None]


class NotTrainedError(MinizooError):
    """A source's encoder is not there yet."""

    def __init__(self, task: str, where: Path) -> None:
        self.task, self.where = task, where
        super().__init__(
            f"{where}: the network of {task} is not trained. Run `python -m minizoo train` first."
        )


def tiny_splits() -> dict[str, str]:
    """Name the splits of the trial recipe, which has one building to train on and one for all else."""
    return {part: "train" if part == "training" else "test" for part in SPLITS}


@dataclass(frozen=True)
class Workplace:
    """One variant of the twenty trainings on one recipe's views."""

    shards: Path
    home: Path
    recipe: str
    course: Course
    budget: Budget
    splits: dict[str, str]
    say: Say = print
    root: Path = LEARNING

    @property
    def folder(self) -> Path:
        """Where the work lies that goes on."""
        return self.root / f"{self.course.bottleneck}-{self.recipe}"

    def views(self, part: str) -> Views:
        """Open (and label, where needed) the views of a part.

        The first call settles which buildings are used, for all parts: tasks that are trained while rendering
        goes on would otherwise learn from different views. Move `home` away to take in new ones.
        """
        path = self.home / "buildings.json"
        self.folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(self.folder / "buildings.lock"):
            if not path.exists():
                settled = {name: finished(self.shards, split) for name, split in self.splits.items()}
                write_bytes(path, json.dumps(settled, indent=1).encode())
        names = json.loads(path.read_text())[part]
        return prepare(self.shards, self.splits[part], names, recipe=self.recipe, say=self.say)

    @cached_property
    def split(self) -> Split:
        """Views of the transfers: at most 1,000 to learn from, 256 to choose by, all test views."""
        training, validation = self.views("transfer"), self.views("validation")
        return Split(
            training.take(_spread(len(training), _LABELLED)),
            validation.take(_spread(len(validation), _LOOKS)),
            self.views("test"),
        )

    def goal(self, name: str, training: Views) -> Goal:
        """Fit a task on the training views."""
        centres = None
        if name == "colorization":
            from minizoo.labels.colour import bins  # scikit-image; nothing else here needs it

            centres = bins()
        return Goal.fit(BY_NAME[name], training.label(BY_NAME[name]), centres=centres)

    # -- trainings

    def train(self, names: tuple[str, ...], *, deadline: float = math.inf) -> None:
        """Train the networks of these tasks, as many as nobody else trains."""
        training, validation = self.views("training"), self.views("validation")
        for name in names:
            folder = self.folder / "runs" / name
            with claim(folder) as mine:
                if not mine:
                    continue
                goal = self.goal(name, training)
                about = describe(goal, self.course, training.digest)
                if (made := self.training(name)) is not None:
                    if made["about"] != about:
                        raise RecipeChangedError(
                            self._training_file(name),
                            _digest(json.dumps(made["about"])),
                            _digest(json.dumps(about)),
                        )
                    continue
                trained = train(
                    goal, training, validation, folder, course=self.course, deadline=deadline, say=self.say
                )
                score = self.score(trained, training, validation)
                if goal.task.sight == "grey":
                    fold_luma(trained.encoder)
                write_bytes(self._encoder_file(name), weights_bytes(trained.encoder))
                made = {"about": about, "history": trained.history, "score": score}
                write_bytes(self._training_file(name), json.dumps(made, indent=1).encode())
                self.say(f"{name}: {score['ratio']:.2f} of the best constant's loss")

    def training(self, name: str) -> dict[str, Any] | None:
        """Read what made a finished network, its losses by epoch and its score."""
        path = self._training_file(name)
        return json.loads(path.read_text()) if path.exists() else None

    def _training_file(self, name: str) -> Path:
        return self.home / "trainings" / f"{name}.json"

    def _encoder_file(self, name: str) -> Path:
        return self.home / "encoders" / f"{name}.safetensors"

    def score(self, trained: Trained, training: Views, validation: Views) -> dict[str, object]:
        """Compare a network with the best constant and a readout of the untrained encoder."""
        test, goal = self.views("test"), trained.goal
        loss = float(judge(trained.encoder, trained.decoder, goal, test).mean())
        constant = float(best_constant(goal, training, test, steps=self.budget.constant_steps).mean())
        parts = Split(training, validation.take(_spread(len(validation), _LOOKS)), test)
        base = untrained(training, seed=self.course.seed)
        # On all training views, with twice the steps of a transfer: its loss no longer falls (see the notes).
        budget = replace(self.budget, steps=2 * self.budget.steps)
        random = float(
            readout(encode(base, parts, goal.task.sight), wanted(goal, parts), goal, budget=budget).mean()
        )
        best = min(range(len(trained.history)), key=lambda k: trained.history[k]["validation"])
        return {
            "task": goal.task.name, "group": goal.task.group, "loss": loss, "constant": constant, "random":
            random, "ratio": loss / constant, "ratio_random": loss / random, "training":
            trained.history[best]["training"], "validation": trained.history[best]["validation"], "epoch":
            best + 1, "epochs": len(trained.history), "quiet_units": quiet_units(codes_of(trained.encoder,
            test, goal.task.sight)), "views": {"training": len(training), "validation": len(validation),
            "test": len(test)},
        }  # fmt: skip

    def encoder(self, name: str) -> Encoder:
        """Load a finished encoder as the zoo ships it: it takes the coloured picture."""
        encoder = build_encoder(seed=self.course.seed, bottleneck=self.course.bottleneck)
        state = {key: value.float() for key, value in load(self.weights(name)).items()}
        encoder.load_state_dict(state, strict=False)  # BatchNorm's counters of batches do not ship
        return encoder.eval()

    def weights(self, name: str) -> bytes:
        """Read the weights of a finished network as they ship.

        Raises
        ------
        NotTrainedError
        """
        path = self._encoder_file(name)
        if not path.exists() or self.training(name) is None:
            raise NotTrainedError(name, path)
        return path.read_bytes()

    # -- transfers

    def transfer(
        self, sources: tuple[str, ...], targets: tuple[str, ...], *, deadline: float = math.inf
    ) -> None:
        """Measure the transfers to these targets, first all with one seed, then some with a second."""
        pieces = [(target, self.budget.seed) for target in targets]
        pieces += [(target, self.budget.seed + 1) for target in targets if target in AGAIN]
        training = self.views("training")
        for target, seed in pieces:
            folder = self.folder / "transfers" / target
            with claim(folder.with_name(f"{target}-{seed}")) as mine:
                if mine:
                    self._to(target, sources, training, folder, seed, deadline)
            if time.monotonic() > deadline:
                self.say("stopped; finished transfers are kept")
                return

    def _to(
        self, target: str, sources: tuple[str, ...], training: Views, folder: Path, seed: int, deadline: float
    ) -> None:
        goal, budget = self.goal(target, training), replace(self.budget, seed=seed)
        rows = (*sources, *(ROWS if seed == self.budget.seed else ()))
        answers = None
        for source in rows:
            path = folder / f"{source}-{seed}.npz"
            about = json.dumps({"budget": asdict(budget), "goal": goal.describe(), **self._made_of(source)})
            if path.exists():
                if (found := _about(path)) != about:
                    raise RecipeChangedError(path, _digest(found), _digest(about))
                continue
            if time.monotonic() > deadline:
                return
            answers = wanted(goal, self.split) if answers is None else answers
            losses = self._row(source, goal, answers, budget, training)
            data = io.BytesIO()
            np.savez(data, losses=losses.astype(np.float32), about=np.array(about))
            write_bytes(path, data.getvalue())
            self.say(f"{source} -> {target} ({seed}): {losses.mean():.4f}")

    def _row(self, source: str, goal: Goal, answers: dict, budget: Budget, training: Views) -> np.ndarray:
        if source == "constant":
            split = self.split
            return best_constant(goal, split.training, split.test, steps=budget.constant_steps)
        if source == "scratch":
            return scratch(self.split, answers, goal, seed=self.course.seed, budget=budget)
        return readout(self._codes(source, sight_of(goal)), answers, goal, budget=budget)

    def _codes(self, source: str, sight: str) -> dict[str, torch.Tensor]:
        """Codes of a source, kept on disk: every target needs them."""
        key = _digest(json.dumps({**self._made_of(source), "sight": sight}))
        path = self.folder / "codes" / f"{source}-{sight}-{key}.pt"
        if not path.exists():
            random = source == "random"
            encoder = (
                untrained(self.split.training, seed=self.course.seed) if random else self.encoder(source)
            )
            data = io.BytesIO()
            torch.save(encode(encoder, self.split, sight), data)
            write_bytes(path, data.getvalue())
        return torch.load(path, weights_only=True)

    def _made_of(self, source: str) -> dict[str, str]:
        """Digests of everything that decides a source's losses, beside budget and goal."""
        parts = {part: getattr(self.split, part).digest for part in ("training", "validation", "test")}
        if source in ROWS:
            return {**parts, "weights": f"seed {self.course.seed}"}
        return {**parts, "weights": hashlib.sha256(self.weights(source)).hexdigest()}

    def losses(
        self, targets: tuple[str, ...] = TARGETS, *, again: bool = False
    ) -> dict[str, dict[str, np.ndarray]]:
        """Read what was measured: target -> source -> loss of every test view."""
        seed = self.budget.seed + again
        found: dict[str, dict[str, np.ndarray]] = {}
        order = {name: k for k, name in enumerate((*(task.name for task in TASKS), *ROWS))}
        for target in targets:
            paths = {
                p.stem.removesuffix(f"-{seed}"): p
                for p in (self.folder / "transfers" / target).glob(f"*-{seed}.npz")
            }
            if paths:
                found[target] = {s: np.load(paths[s])["losses"] for s in sorted(paths, key=order.__getitem__)}
        return found


@contextmanager
def claim(folder: Path) -> Iterator[bool]:
    """Hold a folder's lock if nobody else does."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _spread(count: int, most: int) -> np.ndarray:
    """Rows of at most `most` views, evenly from all buildings."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def _about(path: Path) -> str:
    with np.load(path) as file:
        return str(file["about"])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
