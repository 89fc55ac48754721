"""Cost of the affinity step: time and memory, pass and bootstrap apart, at the sizes that matter.

Cosine and correlation take turns, each in a process of its own. Blocks of unit maps are made, not read: their
making is not in the time. Memory is the peak of the whole process (VmHWM), NumPy, SciPy and one block
included. The published code takes 31 GB at 40 models x 1,000 images x 256 x 256.

    python benchmarks/bench_affinity.py --json affinity.json
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

SIZES = {
    "40 models, 1000 images, 256 x 256": (40, 1000, 256, 1000),
    "20 models, 1000 images, 64 x 64": (20, 1000, 64, 1000),
    "300 models, 400 images, 64 x 64": (300, 400, 64, 1000),
    "1000 models, 60 images, 64 x 64": (1000, 60, 64, 1000),
}
BLOCK = 8


def measure(models: int, images: int, grid: int, replicates: int, *, similarity: str) -> dict[str, float]:
    """Run one size in this process."""
    import numpy as np

    from modelatlas.space import AffinityAccumulator

    rng = np.random.default_rng(0)
    made = rng.standard_normal((models, BLOCK, grid * grid), dtype=np.float32)
    norms = np.sqrt(np.einsum("mic,mic->mi", made, made))
    block = (made / norms[:, :, None]).astype(np.float16)
    del made
    alive = np.ones(block.shape[:2], dtype=bool)
    names = [f"m{k}" for k in range(models)]
    accumulator = AffinityAccumulator(names, similarity=similarity, signed=True, bootstrap=replicates)
    start = time.perf_counter()
    for first in range(0, images, BLOCK):
        count = min(BLOCK, images - first)
        accumulator.add(block[:, :count], alive[:, :count])
    accumulated = time.perf_counter()
    accumulator.result()
    accumulator.interval()
    end = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"pass_s": accumulated - start, "interval_s": end - accumulated, "peak_bytes": peak}


def repeat(size: tuple[int, int, int, int], *, repeats: int) -> dict[str, object]:
    """Median and spread of `repeats` processes of either similarity."""
    runs: dict[str, list[dict[str, float]]] = {"cosine": [], "correlation": []}
    for similarity in [*runs] * repeats:
        command = [sys.executable, __file__, "--one", *map(str, size), "--similarity", similarity]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        runs[similarity].append(json.loads(done.stdout))
    return {
        similarity: {
            name: {"median": statistics.median(values), "low": min(values), "high": max(values)}
            for name in found[0]
            for values in [[run[name] for run in found]]
        }
        for similarity, found in runs.items()
    }


def main() -> None:
    """Measure and print; write JSON if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--one", type=int, nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--similarity", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*options.one, similarity=options.similarity)))
        return
    results = {}
    for name, size in SIZES.items():
        results[name] = repeat(size, repeats=options.repeats)
        print(name, json.dumps(results[name]))
    document = {
        "name": "affinity",
        "commit": _commit(),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs",
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "parameters": {"block": BLOCK, "replicates": 1000, "repeats": options.repeats},
        "unit": {"pass_s": "s", "interval_s": "s", "peak_bytes": "bytes"},
        "results": results,
    }
    if options.json:
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
