"""Cost of evaluating and comparing: reading, scoring, permuting.

python benchmarks/bench_evaluation.py --json evaluation.json
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from modelatlas.evaluation import TransferTable, compare, document, evaluate, read_transfers


def table(count: int, seed: int) -> TransferTable:
    """Random affinities of `count` models with one another."""
    names = tuple(f"model-{k}" for k in range(count))
    return TransferTable(f"seed {seed}", names, names, np.random.default_rng(seed).random((count, count)))


def cases(folder: Path) -> dict[str, Callable[[], object]]:
    """Name what is measured."""
    large, reference = table(1000, 0), table(1000, 1)
    large.frame().to_csv(folder / "square.csv")
    listed = (
        reference.frame()
        .rename_axis("source")
        .melt(var_name="target", value_name="affinity", ignore_index=False)
    )
    listed.reset_index().to_csv(folder / "long.csv", index=False)
    small, other = table(40, 0), table(40, 1)
    return {
        "evaluate 1000 x 1000": lambda: document(evaluate(large, reference)),
        "read a square 1000 x 1000": lambda: read_transfers(folder / "square.csv"),
        "read a long 1000 x 1000": lambda: read_transfers(folder / "long.csv"),
        "compare 40 models, 10000 permutations": lambda: compare(small, other, permutations=10_000),
        "compare 400 models, 1000 permutations": lambda: compare(
            table(400, 0), table(400, 1), permutations=1000
        ),
    }


def main() -> None:
    """Measure, cases in turn; print, write JSON if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    times: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        named = cases(Path(folder))
        for _ in range(options.repeats):
            for name, run in named.items():
                start, cpu = time.perf_counter(), time.process_time()
                run()
                times.setdefault(name, []).append((time.perf_counter() - start, time.process_time() - cpu))
    results = {
        name: {
            kind: {"median": statistics.median(part), "low": min(part), "high": max(part)}
            for kind, part in zip(("wall", "cpu"), zip(*values, strict=True), strict=True)
        }
        for name, values in times.items()
    }
    for name, kinds in results.items():
        parts = (
            f"{kind} {r['median']:.2f} s ({r['low']:.2f} to {r['high']:.2f})" for kind, r in kinds.items()
        )
        print(f"{name}: {', '.join(parts)}")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    report = {
        "name": "evaluation",
        "commit": commit.stdout.strip(),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs",
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "parameters": {"repeats": options.repeats},
        "unit": "s",
        "results": results,
    }
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
