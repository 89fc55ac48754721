"""Estimates of `chart --estimate` against the runs that they are of.

    python benchmarks/bench_estimate.py [--zoo ZOO] [--probe PROBE] [--images N] [--repeats N] [--json FILE]

Estimate and run take turns, each by the command line in a process of its own; printed are the medians of
estimate / run: of time, memory (both processes' peaks) and disk.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

UNIT = 1 if sys.platform == "darwin" else 1024


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--zoo", default="mini")
    parser.add_argument("--probe", default="rooms")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--peak", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        _run_and_tell_peak(options.peak)
        return
    words = [options.zoo, "--probe", options.probe, "--images", str(options.images)]
    rows = [_pair(words) for _ in range(options.repeats)]
    ratios = {
        name: median(row["estimate"][name] / row["run"][name] for row in rows)
        for name in ("seconds", "memory", "disk")
    }
    result = {
        "name": "estimate", "machine": platform.processor() or platform.machine(), "command": words,
        "load": os.getloadavg()[0], "rows": rows, "ratio": ratios,
    }  # fmt: skip
    for name, ratio in ratios.items():
        print(f"{name:8s} estimate / run {ratio:.2f}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def _pair(words: list[str]) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary, "atlas")
        told = json.loads(_modelatlas([*words, "--out", str(out), "--estimate", "--json"]).stdout)
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, __file__, "--peak", *words, "--out", str(out)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        seconds = time.perf_counter() - began
        disk = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    run = {"seconds": seconds, "memory": float(done.stdout.split()[-1]), "disk": disk}
    row = {"estimate": {name: told[name] for name in run}, "run": run}
    print(json.dumps(row), flush=True)
    return row


def _modelatlas(words: list[str]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "modelatlas.cli", "chart", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True)


def _run_and_tell_peak(words: list[str]) -> None:
    """Chart in this process, so that its worker is its child; print the bytes of both at their peaks."""
    from modelatlas.cli.app import run

    if status := run(["chart", *words, "--quiet"]):
        sys.exit(status)
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    print(UNIT * sum(resource.getrusage(kind).ru_maxrss for kind in kinds))


if __name__ == "__main__":
    main()
