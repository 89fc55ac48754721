"""Write what ships into the data distribution, beside what trainings and transfers leave there.

`cards.json` says of each encoder what it was trained on and how well; `transfers/affinities.csv` is the
reference `mini`, made of the measured losses by `modelatlas.evaluation` (win rates, hierarchy process): of
all test views, of the second seed, and of both halves of the test views. `rooms/` is the probe
(`minizoo.rooms_probe`).
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minizoo.losses import TASKS
from minizoo.paths import write_bytes
from minizoo.readouts import ROWS
from minizoo.rooms_probe import room_of, write_rooms
from minizoo.transfers import Measured, Transfers
from minizoo.workplace import Workplace
from modelatlas.evaluation import affinities_from_losses
from modelatlas.zoo.architectures.mini import CODE, INPUT

__all__ = ["card", "table", "write"]

LICENCE = "Apache-2.0"


def write(place: Workplace) -> str:
    """Write cards, transfers and the probe; return a sentence on what there is."""
    out = place.home
    cards = [card(place, task.name) for task in TASKS if place.training(task.name)]
    write_bytes(out / "cards.json", json.dumps(cards, indent=1).encode())
    transfers = Transfers(place)
    measured = transfers.measured()
    if measured:
        _write_affinities(measured, transfers.measured(again=True), out / "transfers" / "affinities.csv")
    views = write_rooms(place.shards, out / "rooms", recipe=place.recipe)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 2**20
    pairs = sum(len(found.losses.keys() - {*ROWS}) for found in measured.values())
    return (
        f"{out}: {len(cards)} encoders, {pairs} transfers to {len(measured)} targets, {views} probe views, "
        f"{size:.1f} MB"
    )


def card(place: Workplace, name: str) -> dict[str, object]:
    """Describe an encoder: what it is, how it was trained, how well it does, its checksum."""
    made, data = place.training(name), place.weights(name)
    assert made is not None, name
    score = made["score"]
    return {
        "name": name, "task": name, "group": score["group"], "licence": LICENCE,
        "file": f"encoders/{name}.safetensors", "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "parameters": sum(p.numel() for p in place.encoder(name).parameters()),
        "input": {"height": INPUT, "width": INPUT, "channels": 3, "range": [-1, 1]},
        "layer": "code", "layer_shape": CODE, "bottleneck": made["about"]["course"]["bottleneck"],
        "training": {**made["about"]["course"], "arithmetic": made["arithmetic"], "views": score["views"],
                     "recipe": place.recipe},
        "score": {k: score[k] for k in ("loss", "constant", "random", "ratio", "ratio_random")},
        "curve": [[entry["step"], round(entry["training"], 4), round(entry["validation"], 4)]
                  for entry in made["history"]],
    }  # fmt: skip


def table(place: Workplace) -> str:
    """Lay out the scores of all trained tasks; a star marks one that must not ship as it is."""
    columns = ("ratio", "ratio_random", "training", "validation", "loss")
    lines = [f"{'task':18s}" + "".join(f"{name:>14s}" for name in (*columns, "epoch")) + "  quiet units"]
    for task in TASKS:
        if made := place.training(task.name):
            score = made["score"]
            numbers = "".join(f"{score[name]:14.3f}" for name in columns)
            star = "" if score["ratio"] <= 0.85 and score["ratio_random"] < 1 else " *"
            epoch = f"{score['epoch']}/{score['epochs']}"
            lines.append(f"{task.name:18s}{numbers}{epoch:>14s}  {score['quiet_units'] or '-'}{star}")
    return "\n".join(lines)


def _write_affinities(measured: dict[str, Measured], again: dict[str, Measured], path: Path) -> None:
    halves = {target: _halves(found.views) for target, found in measured.items()}
    sets = {
        "all": {target: found.losses for target, found in measured.items()},
        "again": {target: found.losses for target, found in again.items()},
        "half-a": {target: _only(found.losses, halves[target]) for target, found in measured.items()},
        "half-b": {target: _only(found.losses, ~halves[target]) for target, found in measured.items()},
    }
    lines = ["training_set,source,target,affinity"]
    for name, losses in sets.items():
        lines += [f"{name},{line}" for line in _affinities(losses)]
    write_bytes(path, "\n".join([*lines, ""]).encode())


def _affinities(losses: dict[str, dict[str, np.ndarray]]) -> list[str]:
    sources = {target: [name for name in rows if name not in ROWS] for target, rows in losses.items()}
    tables = {t: np.stack([losses[t][s] for s in names]).astype(np.float64) for t, names in sources.items()}
    if not tables:
        return []
    frame = affinities_from_losses(tables, sources=sources, origin="mini").frame()
    return [f"{s},{t},{float(frame.loc[s, t])!r}" for t in frame.columns for s in sources[t]]


def _halves(views: Sequence[str]) -> np.ndarray:
    """Rooms in turn: views of one room are alike and must not stand on both sides."""
    rooms = [room_of(name) for name in views]
    order = {room: k for k, room in enumerate(dict.fromkeys(rooms))}
    return np.array([order[room] % 2 == 0 for room in rooms])


def _only(losses: dict[str, np.ndarray], views: np.ndarray) -> dict[str, np.ndarray]:
    return {name: row[views] for name, row in losses.items()}
