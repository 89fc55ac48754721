# ruff: noqa: E402 (the path comes before the imports)
"""Write the table and the learning curves of the mini-Taskonomy's twenty networks.

    python studies/mini_networks.py

Reads the cards that `modelatlas-mini` ships; writes into `docs/mini.md` and `docs/images/mini-curves.png`.
"""

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))  # for `studies.pages`, wherever this is called from

from studies.pages import insert

from modelatlas.fetch import mini_data

GROUPS = ("2D", "3D", "geometric", "semantic")
COLUMNS = 5


def main() -> None:
    """Write both files."""
    cards = json.loads((mini_data(needed_for="this study") / "cards.json").read_text())
    cards.sort(key=lambda card: (GROUPS.index(card["group"]), card["task"]))
    insert("mini.md", "python studies/mini_networks.py", _table(cards))
    _draw_curves(cards, REPO / "docs" / "images" / "mini-curves.png")


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
        axis.set_ylim(0, 1.1 * max(card["score"]["constant"], *training, *validation))
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("step", fontsize=8)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3, fontsize=8, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    for axis in axes.flat[len(cards) :]:
        axis.remove()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
