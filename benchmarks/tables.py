"""Put what the benchmarks measured, results/NAME-MACHINE.json, into the tables of docs/benchmarks.md.

python benchmarks/bench_attribution.py --json benchmarks/results/attribution-b.json
python benchmarks/tables.py
"""

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[1]
RESULTS = REPO / "benchmarks" / "results"
Results = Iterable[tuple[str, Mapping[str, Any]]]
"""Machine, and what a benchmark wrote there."""


def attribution(results: Results) -> list[str]:
    """Lines of the table of bench_attribution.py."""
    head = (
        "machine", "network", "target layer", "engine", "bare", "engine / bare", "in bfloat16", "Captum",
        "Zennit", "both / engine", "floor", "peak MiB: engine / bare / Captum's saliency",
    )  # fmt: skip
    lines = [_line(head), "| --- " * len(head) + "|"]
    for machine, result in results:
        for row in result["rows"]:
            seconds, peaks = row["median"], row["peak_mib"]
            both = seconds["captum"] + seconds["zennit"] if "zennit" in seconds else None
            cells = (
                machine, row["model"], f"`{row['layer']}`", _number(seconds["engine"]),
                _number(seconds["bare"]), _number(row["engine_to_bare"]), _number(seconds.get("engine-bf16")),
                _number(seconds["captum"]), _number(seconds.get("zennit")),
                _number(both and both / seconds["engine"], 1), _number(row["floor"]),
                " / ".join("-" if peaks[name] is None else f"{peaks[name]:.0f}" for name in peaks),
            )  # fmt: skip
            lines.append(_line(cells))
    return lines


def published(results: Results) -> list[str]:
    """Lines of the table of bench_published.py."""
    head = (
        "machine",
        "precision",
        "encoders",
        "whole run, s",
        "maps, s",
        "whole / maps",
        "a later paper on a V100, s",
    )
    lines = [_line(head), "| --- " * len(head) + "|"]
    for machine, result in results:
        theirs = ", ".join(f"{name} {seconds:.0f}" for name, seconds in result["published_seconds"].items())
        cells = (
            machine, result["precision"], str(result["encoders"]), f"{result['seconds']:.0f}",
            f"{result['model_seconds']:.0f}", _number(result["whole_to_models"]), f"{theirs} (17 encoders)",
        )  # fmt: skip
        lines.append(_line(cells))
    return lines


def estimate(results: Results) -> list[str]:
    """Lines of the table of bench_estimate.py."""
    head = ("machine", "runs", "time: estimate / run", "memory", "disk")
    lines = [_line(head), "| --- " * len(head) + "|"]
    for machine, result in results:
        ratios = (_number(result["ratio"][name]) for name in ("seconds", "memory", "disk"))
        lines.append(_line((machine, str(len(result["rows"])), *ratios)))
    return lines


TABLES = {
    "attribution": (attribution, "make bench"),
    "published": (published, "python benchmarks/bench_published.py"),
    "estimate": (estimate, "python benchmarks/bench_estimate.py"),
}


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def tables() -> dict[str, str]:
    """Command -> its table, from what stands in results/."""
    found = {}
    for name, (write, command) in TABLES.items():
        paths = sorted(RESULTS.glob(f"{name}-*.json"))
        results = [(path.stem.split("-")[1].upper(), json.loads(path.read_text())) for path in paths]
        if results:
            found[command] = "\n".join(write(results))
    return found


def main() -> None:
    """Write the page."""
    sys.path.insert(0, str(REPO))
    from studies.pages import insert

    for command, text in tables().items():
        insert("benchmarks.md", command, text)


if __name__ == "__main__":
    main()
