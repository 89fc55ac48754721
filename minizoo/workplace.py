"""One variant of the twenty trainings: its views, what is going on, and what is finished.

What is going on lies under `LEARNING/<variant>`: `runs/<task>/` (the state of a training),
`transfers/<target>-<seed>/<source>.npz`. What is finished lies in `home`, as it ships: `buildings.json` (the
floors that were used), `encoders/<task>.safetensors`, `trainings/<task>.json`, `transfers/`. Any number of
processes share the work by file locks, which die with their process; each takes the next piece that nobody
has.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np
from safetensors.torch import load

from minizoo.dataset import Views
from minizoo.errors import MinizooError
from minizoo.labelled import LEARNING, finished, prepare
from minizoo.losses import BY_NAME, Goal
from minizoo.networks import build_encoder
from minizoo.paths import write_bytes
from minizoo.readouts import Budget
from minizoo.training import Course
from modelatlas.zoo.architectures.mini import Encoder

__all__ = [
    "LOOKS",
    "SPLITS",
    "NotTrainedError",
    "Workplace",
    "claim",
    "short_digest",
    "spread",
    "tiny_splits",
]

LOOKS = 256  # views a readout is chosen by
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

    def goal(self, name: str, training: Views) -> Goal:
        """Fit a task on the training views."""
        centres = None
        if name == "colorization":
            from minizoo.labels.colour import bins  # scikit-image; nothing else here needs it

            centres = bins()
        return Goal.fit(BY_NAME[name], training.label(BY_NAME[name]), centres=centres)

    def training_file(self, name: str) -> Path:
        """File that is there when a network is finished: what made it, its losses by epoch, its score."""
        return self.home / "trainings" / f"{name}.json"

    def encoder_file(self, name: str) -> Path:
        """File of a finished network's weights, as they ship."""
        return self.home / "encoders" / f"{name}.safetensors"

    def training(self, name: str) -> dict[str, Any] | None:
        """Read what made a finished network (`about`), its `history` and its `score`."""
        path = self.training_file(name)
        return json.loads(path.read_text()) if path.exists() else None

    def encoder(self, name: str) -> Encoder:
        """Load a finished encoder as the zoo ships it: it takes the coloured picture."""
        encoder = build_encoder(seed=self.course.seed, bottleneck=self.course.bottleneck)
        state = {key: value.float() for key, value in load(self.weights(name)).items()}
        lacking = encoder.load_state_dict(state, strict=False).missing_keys
        # BatchNorm's counters of batches do not ship.
        if strange := [key for key in lacking if not key.endswith("num_batches_tracked")]:
            raise MinizooError(f"{self.encoder_file(name)}: no weights for {strange[0]}")
        return encoder.eval()

    def weights(self, name: str) -> bytes:
        """Read the weights of a finished network as they ship.

        Raises
        ------
        NotTrainedError
        """
        path = self.encoder_file(name)
        if not path.exists() or self.training(name) is None:
            raise NotTrainedError(name, path)
        return path.read_bytes()


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


def short_digest(text: str) -> str:
    """Twelve hexadecimal digits of SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def spread(views: Views, most: int) -> Views:
    """At most `most` views, evenly from all buildings."""
    count = len(views)
    return views.take(np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)))
