"""Measure the transfers of all sources to all targets.

A row is the loss of every test view of one source's readout. Rows that are done are kept under
`Workplace.folder`; when a target has all that were asked for, they go together into
`home/transfers/<target>-<seed>.npz`: `losses` [row, test view], names of the `rows` and of the test `views`,
and what each row was made of (`about`). Measured with the weights that ship.
"""

import hashlib
import io
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from minizoo.errors import RecipeChangedError
from minizoo.losses import TARGETS, TASKS, Goal
from minizoo.paths import write_bytes
from minizoo.readouts import ROWS, Budget, Parts, Split, encode, readout, scratch, sight_of, untrained, wanted
from minizoo.training import best_constant
from minizoo.workplace import LOOKS, Workplace, claim, short_digest, spread
from modelatlas.zoo.architectures.mini import Encoder

__all__ = ["AGAIN", "Measured", "Transfers"]

AGAIN = ("rgb2depth", "rgb2sfnorm", "autoencoder", "edge3d", "segmentsemantic", "vanishing_point")
"""Targets that are measured with a second seed too."""
_LABELLED = 1000  # views a readout learns from
_ORDER = {name: k for k, name in enumerate((*(task.name for task in TASKS), *ROWS))}


@dataclass(frozen=True)
class Measured:
    """One target: row -> loss of every test view, and the names of these views."""

    losses: dict[str, np.ndarray]
    views: tuple[str, ...]


@dataclass(frozen=True)
class _Row:
    """Loss of every test view, and what it was made of."""

    losses: np.ndarray
    about: str


@dataclass(frozen=True)
class Transfers:
    """The transfers between the networks of one workplace."""

    place: Workplace

    @cached_property
    def split(self) -> Split:
        """At most 1,000 views to learn from, 256 to choose by, all test views."""
        return Split(
            spread(self.place.views("transfer"), _LABELLED),
            spread(self.place.views("validation"), LOOKS),
            self.place.views("test"),
        )

    def measure(
        self, sources: tuple[str, ...], targets: tuple[str, ...], *, deadline: float = math.inf
    ) -> None:
        """Measure what is missing to these targets, first all with one seed, then some with a second.

        Raises
        ------
        NotTrainedError
            A source is not finished.
        RecipeChangedError
            A row that is there was made of other weights, views, goal or budget.
        """
        seed = self.place.budget.seed
        pieces = [(target, seed) for target in targets]
        pieces += [(target, seed + 1) for target in targets if target in AGAIN]
        for target, number in pieces:
            with claim(self._rows_folder(target, number)) as mine:
                if mine:
                    self._to(target, sources, number, deadline)
            if time.monotonic() > deadline:
                self.place.say("stopped; finished transfers are kept")
                return

    def measured(self, *, again: bool = False) -> dict[str, Measured]:
        """Read the targets of which all was measured.

        Raises
        ------
        RecipeChangedError
            A row was made of other weights than those that ship, or of other views, goal or budget than the
            rows beside it.
        """
        paths = {t: self._finished_file(t, self.place.budget.seed + again) for t in TARGETS}
        return {target: self._checked(path) for target, path in paths.items() if path.exists()}

    def _rows_folder(self, target: str, seed: int) -> Path:
        return self.place.folder / "transfers" / f"{target}-{seed}"

    def _finished_file(self, target: str, seed: int) -> Path:
        return self.place.home / "transfers" / f"{target}-{seed}.npz"

    def _known(self, target: str, seed: int) -> dict[str, _Row]:
        """Rows that are done: those that went together, and those that wait for others."""
        known: dict[str, _Row] = {}
        for path in self._rows_folder(target, seed).glob("*.npz"):
            with np.load(path) as file:
                known[path.stem] = _Row(file["losses"], str(file["about"]))
        if (path := self._finished_file(target, seed)).exists():
            known |= _read(path)[0]
        return known

    def _checked(self, path: Path) -> Measured:
        shared: set[str] = set()
        rows, views = _read(path)
        for name, row in rows.items():
            about = json.loads(row.about)
            found, wished = about.pop("weights"), self._weights_of(name)
            if found != wished:
                raise RecipeChangedError(f"{name} in {path}", short_digest(found), short_digest(wished))
            shared.add(short_digest(json.dumps(about)))
        if len(shared) > 1:
            raise RecipeChangedError(path, *sorted(shared)[:2])
        return Measured({name: row.losses for name, row in rows.items()}, views)

    def _to(self, target: str, sources: tuple[str, ...], seed: int, deadline: float) -> None:
        place = self.place
        goal, budget = place.goal(target, place.views("training")), replace(place.budget, seed=seed)
        asked = (*sources, *(ROWS if seed == place.budget.seed else ()))
        known = self._known(target, seed)
        abouts = {
            name: json.dumps({"budget": asdict(budget), "goal": goal.describe(), **self._made_of(name)})
            for name in asked
        }
        for name in (name for name in asked if name in known):
            if known[name].about != abouts[name]:
                found, wished = short_digest(known[name].about), short_digest(abouts[name])
                where = f"transfer {name} -> {target} in {self._rows_folder(target, seed)}"
                raise RecipeChangedError(where, found, wished)
        missing = [name for name in asked if name not in known]
        for name, losses in self._rows(missing, goal, budget):
            data = io.BytesIO()
            np.savez(data, losses=losses, about=np.array(abouts[name]))
            write_bytes(self._rows_folder(target, seed) / f"{name}.npz", data.getvalue())
            known[name] = _Row(losses, abouts[name])
            place.say(f"{name} -> {target} ({seed}): {losses.mean():.4f}")
            if time.monotonic() > deadline:
                break
        if missing and all(name in known for name in asked):
            self._finish(target, seed, known)

    def _finish(self, target: str, seed: int, known: dict[str, _Row]) -> None:
        names = sorted(known, key=_ORDER.__getitem__)
        data = io.BytesIO()
        np.savez_compressed(
            data,
            losses=np.stack([known[name].losses for name in names]),
            rows=np.array(names),
            views=np.array(self.split.test.names),
            about=np.array([known[name].about for name in names]),
        )
        write_bytes(self._finished_file(target, seed), data.getvalue())

    def _rows(self, names: list[str], goal: Goal, budget: Budget) -> Iterator[tuple[str, np.ndarray]]:
        """Measure one after another: loss of every test view, float32."""
        if not names:
            return
        split, answers, seed = self.split, wanted(goal, self.split), self.place.course.seed
        for name in names:
            if name == "constant":
                losses = best_constant(goal, split.training, split.test, steps=budget.constant_steps)
            elif name == "scratch":
                losses = scratch(
                    split, answers, goal, seed=seed, budget=budget, bottleneck=self.place.course.bottleneck
                )
            else:
                losses = readout(self._codes(name, sight_of(goal)), answers, goal, budget=budget)
            yield name, losses.astype(np.float32)

    def _codes(self, source: str, sight: str) -> Parts:
        """Codes of a source, kept on disk: every target needs them."""
        key = short_digest(json.dumps({**self._made_of(source), "sight": sight}))
        path = self.place.folder / "codes" / f"{source}-{sight}-{key}.pt"
        if not path.exists():
            encoder = self._untrained() if source == "random" else self.place.encoder(source)
            data = io.BytesIO()
            torch.save(encode(encoder, self.split, sight), data)
            write_bytes(path, data.getvalue())
        return torch.load(path, weights_only=True)

    def _untrained(self) -> Encoder:
        course = self.place.course
        return untrained(self.split.training, seed=course.seed, bottleneck=course.bottleneck)

    def _made_of(self, source: str) -> dict[str, str]:
        """Digests of everything that decides a source's losses, beside budget and goal."""
        parts = {part: getattr(self.split, part).digest for part in ("training", "validation", "test")}
        return {**parts, "weights": self._weights_of(source)}

    def _weights_of(self, source: str) -> str:
        if source in ROWS:
            return f"seed {self.place.course.seed}"
        return hashlib.sha256(self.place.weights(source)).hexdigest()


def _read(path: Path) -> tuple[dict[str, _Row], tuple[str, ...]]:
    """Read a finished target's rows, in their order, and the names of its test views."""
    with np.load(path) as file:
        rows = zip(file["rows"].tolist(), file["losses"], file["about"].tolist(), strict=True)
        return {name: _Row(losses, about) for name, losses, about in rows}, tuple(file["views"].tolist())
