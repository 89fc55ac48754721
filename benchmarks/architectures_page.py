"""The page docs/architectures.md, from what architectures.json holds."""

from collections.abc import Mapping
from typing import Any

LIBRARIES = ("timm", "torchvision", "transformers")
METHODS = ("saliency", "gradient-x-input", "epsilon-lrp")
CPU_SECONDS, GIBIBYTES = 120, 12
IMAGES = 4
BUDGET_LIMIT = 1e-5
"""Of the budget error, as a share of the term at the pixels."""

HEAD = """# Architectures

<!-- Written by benchmarks/architectures.py: edit that. -->

One small, untrained variant of every family: {counts}. {passing} of {total} pass. Repeat it:

```sh
make architectures     # python benchmarks/architectures.py: what is missing; --again all for everything
```

Each network runs in a process of its own ({cpu} s of processor time, {memory} GiB). It passes when a target
layer is found by rule, all three maps of four photographs are alive, and the relevance budget closes.
Columns:

- **size**: parameters in millions, side of the image in pixels. `+`: arguments fit the network to the
  side, or make it smaller (`benchmarks/architectures.toml`).
- **target layer**: what `ma.target_layer` chooses, and the shape of its units without the batch axis.
- **alive**: how many of the four maps of `saliency`, `gradient-x-input` and `epsilon-lrp` are finite and
  not below 1e-6 of the median norm. After a semicolon, where a map is dead: the same with weights drawn
  anew, which has to be alive, and the share of T that eps = 1e-4 absorbs with the library's own. Some
  untrained networks shrink their activations so far below eps, or even their gradients below what float32
  holds, that nothing is left for the image.
- **budget error**: |T − inputs − constants − absorbed| / (sum of the terms' absolute values) in float64,
  one photograph, with all weights, biases and norms' statistics drawn anew: the libraries start many at 0
  or 1, where a wrong rule would not show. Rounding is about 1e-16; where a model computes a part in
  float32 whatever it is given, 1e-9. Passing: at most {limit:.0e} of the next column.
- **at pixels**: |inputs| / (the same sum), the size of the term that the maps are.
- **common**: the share of dT/dx that does not depend on the image: mean over pairs i ≠ j of ⟨g_i, g_j⟩,
  divided by the mean of ⟨g_i, g_i⟩, over the four photographs. For g_i = c + d_i with uncorrelated d_i it
  is |c|² / (|c|² + E|d|²): 1 for a linear network, 0 where the gradients of different images have nothing
  in common; it may come out slightly below 0. It is that of the libraries' own *untrained* weights: a
  pre-norm transformer passes the image along its skip path, and layer scales of 1e-5 leave nothing beside
  it.
- **s**: processor seconds an image for all three maps, float32, one thread, four images at once.

Versions: {versions}; {machine}.
"""


def page(result: Mapping[str, Any]) -> str:
    """Write the page from what the JSON file holds."""
    rows = result["rows"]
    counts = ", ".join(
        f"{sum(row['library'] == library for row in rows)} of {library}" for library in LIBRARIES
    )
    parts = [
        HEAD.format(
            counts=counts,
            passing=sum(not verdict(row) for row in rows),
            total=len(rows),
            cpu=CPU_SECONDS,
            memory=GIBIBYTES,
            limit=BUDGET_LIMIT,
            versions=", ".join(f"{name} {number}" for name, number in result["versions"].items()),
            machine=result["machine"],
        )
    ]
    failing = [row for row in rows if verdict(row)]
    if failing:
        parts.append("## Not passing\n")
        parts += [f"- {row['library']} `{row['model']}`: {_plain(verdict(row))}" for row in failing]
        parts.append("")
    for library in LIBRARIES:
        parts.append(f"## {library}\n\n{_TITLES}\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
        parts += [_line(row) for row in rows if row["library"] == library]
        parts.append("")
    return "\n".join(parts)


_TITLES = "| family | model | size | target layer | alive | budget error | at pixels | common | s |"


def _line(row: Mapping[str, Any]) -> str:
    smaller = " +" if row["options"].keys() - {"weights_backbone", "init_weights"} else ""
    name = f"`{row['model']}`{smaller}" + (f", {row['part']}" if row["part"] else "")
    if "error" in row:
        return f"| {row['family']} | {name} | {row['side']} px | {_plain(row['error'])} | – | – | – | – | – |"
    alive = _counts(row["alive"])
    if "alive_redrawn" in row:
        absorbed = "–" if row["absorbed"] is None else f"{row['absorbed']:.0%}"
        alive += f"; {_counts(row['alive_redrawn'])} ({absorbed})"
    cells = (
        row["family"],
        name,
        f"{row['parameters'] / 1e6:.2f} M, {row['side']} px",
        f"`{row['layer'] or '(whole)'}` {' x '.join(map(str, row['shape']))}",
        alive,
        f"{row['budget_error']:.0e}",
        f"{row['at_pixels']:.0e}",
        "–" if row["common"] is None else f"{row['common']:.2f}",
        _rounded(row["seconds"]),
    )
    return f"| {' | '.join(cells)} |"


def _counts(alive: Mapping[str, int]) -> str:
    return " ".join(str(alive[method]) for method in METHODS)


def _rounded(seconds: float) -> str:
    return f"{seconds:.3f}" if seconds < 0.1 else f"{seconds:.2f}"


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def verdict(row: Mapping[str, Any]) -> str:
    """Why a line does not pass; empty if it does."""
    if "error" in row:
        return str(row["error"])
    alive = row.get("alive_redrawn", row["alive"])
    dead = [f"{method} {count} of {IMAGES}" for method, count in alive.items() if count < IMAGES]
    if dead:
        return f"maps alive: {', '.join(dead)}"
    error = row["budget_error"]
    closes = error <= BUDGET_LIMIT * row["at_pixels"]
    return "" if closes else f"budget error {error:.0e} with {row['at_pixels']:.0e} at the pixels"
