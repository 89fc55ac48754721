# ruff: noqa: E402 (the path comes before the imports)
"""Write the tables of the mini-Taskonomy's twenty networks and of their measured transfers.

    python studies/mini_networks.py

Reads what `modelatlas-mini` ships; writes into `docs/mini.md`, `docs/images/mini-curves.png` and
`docs/images/mini-transfers.png`.
"""

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))  # for `studies.pages`, wherever this is called from

from minizoo.readouts import ROWS, Budget
from studies.pages import insert

from modelatlas.evaluation import mini_transfers
from modelatlas.fetch import mini_data

GROUPS = ("2D", "3D", "geometric", "semantic")
COLUMNS = 5
IMAGES = REPO / "docs" / "images"


def main() -> None:
    """Write the page's tables and the figures."""
    data = mini_data(needed_for="this study")
    cards = json.loads((data / "cards.json").read_text())
    cards.sort(key=lambda card: (GROUPS.index(card["group"]), card["task"]))
    insert("mini.md", "python studies/mini_networks.py", _table(cards))
    _draw_curves(cards, IMAGES / "mini-curves.png")
    tasks = [card["task"] for card in cards]
    insert("mini.md", "python studies/mini_networks.py (transfers)", _transfers(data / "transfers", tasks))
    _draw_transfers(tasks, IMAGES / "mini-transfers.png")


def _table(cards: list[dict]) -> str:
    training = cards[0]["training"]
    views = training["views"]
    about = (
        f"{views['training']} views to train on, {views['validation']} to choose the epoch by, "
        f"{views['test']} to test, all of different buildings; "
        f"{training['steps']} steps of {training['batch']}."
    )
    columns = (
        "task", "group", "loss on test views", "/ best constant", "/ readout on the untrained encoder",
        "best epoch at step",
    )  # fmt: skip
    lines = [about, ""]
    lines += ["| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    for card in cards:
        score, curve = card["score"], card["curve"]
        best = min(curve, key=lambda point: point[2])[0]
        lines.append(
            f"| `{card['task']}` | {card['group']} | {score['loss']:.4f} | {score['ratio']:.2f} | "
            f"{score['ratio_random']:.2f} | {best} of {curve[-1][0]} |"
        )
    return "\n".join(lines) + "\n"


def _draw_curves(cards: list[dict], path: Path) -> None:
    rows = -(-len(cards) // COLUMNS)
    figure, axes = plt.subplots(
        rows, COLUMNS, figsize=(12, 2.1 * rows), sharex=True, squeeze=False, layout="constrained"
    )
    for axis, card in zip(axes.flat, cards, strict=False):
        steps, training, validation = zip(*card["curve"], strict=True)
        axis.plot(steps, training, color="#7a7a7a", linewidth=1, label="training views")
        axis.plot(steps, validation, color="#0b5fa5", linewidth=1.4, label="validation views")
        axis.axhline(
            card["score"]["constant"], color="#c2410c", linewidth=1, linestyle="--", label="best constant"
        )
        axis.set_title(card["task"], fontsize=9, loc="left")
        axis.tick_params(labelsize=7)
        axis.set_xticks(range(0, steps[-1] + 1, steps[-1] // 3))
        axis.set_ylim(0, 1.1 * max(card["score"]["constant"], *training, *validation))
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("step", fontsize=8)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3, fontsize=8, frameon=False)
    for axis in axes.flat[len(cards) :]:
        axis.remove()
    figure.savefig(path, dpi=110)


def _transfers(folder: Path, tasks: list[str]) -> str:
    """Lay out the mean losses of each target's readouts, in units of the best constant's."""
    lines = [
        "| target | self | place of self | best others | median source | untrained encoder | from scratch |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for target in tasks:
        if not (path := folder / f"{target}-{Budget().seed}.npz").exists():  # a source only
            continue
        with np.load(path) as file:
            means = dict(zip(file["rows"].tolist(), file["losses"].mean(1, dtype=np.float64), strict=True))
        unit = means["constant"]
        order = sorted((name for name in means if name not in ROWS), key=means.__getitem__)
        best = ", ".join(f"{name} {means[name] / unit:.2f}" for name in [o for o in order if o != target][:3])
        median = np.median([means[name] for name in order]) / unit
        others = " | ".join(f"{means[name] / unit:.2f}" for name in ("random", "scratch"))
        cells = (f"`{target}`", f"{means[target] / unit:.2f}", order.index(target) + 1, best, f"{median:.2f}")
        lines.append("| " + " | ".join(map(str, cells)) + f" | {others} |")
    return "\n".join(lines) + "\n"


def _draw_transfers(order: list[str], path: Path) -> None:
    """Draw the measured affinities: a column a target, coloured by the place of each source."""
    table = mini_transfers().frame()
    names = [name for name in order if name in table.columns]
    places = table.loc[order, names].rank(ascending=False)
    figure, axes = plt.subplots(figsize=(8.2, 8.2), layout="constrained")
    image = axes.imshow(places, cmap="YlGnBu_r", vmin=1, vmax=len(order))
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=9)
    axes.set_yticks(range(len(order)), order, fontsize=9)
    axes.set_xlabel("target")
    axes.set_ylabel("source")
    for row, column in np.argwhere(places.to_numpy() <= 5):
        place = int(places.iloc[row, column])
        axes.text(column, row, place, ha="center", va="center", color="white", fontsize=8)
    for column, name in enumerate(names):
        corner = (column - 0.5, order.index(name) - 0.5)
        axes.add_patch(plt.Rectangle(corner, 1, 1, fill=False, edgecolor="#c2410c", linewidth=1.6))
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, shrink=0.4, label="place among the 20 sources", ticks=[1, 5, 10, 15, 20])
    bar.ax.invert_yaxis()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
