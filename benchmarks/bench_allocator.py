"""What the worker's memory settings save: the engine on ResNet-50 with and without them.

    python benchmarks/bench_allocator.py [--model NAME] [--repeats N] [--json FILE]

Every measurement is a process of its own, with and without in turns: all three methods on a batch of 8
images of 256 px, by one thread. Printed are medians of processor time (user and system), time by the clock,
page faults and peak memory. How much is saved depends on the kernel's huge pages, so their setting is told.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from modelatlas.run.engines.apart import ALLOCATOR

ROUNDS = 3


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet50", help="of timm, with random weights")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(_measure(options.model)))
        return
    rows: dict[str, list[dict[str, float]]] = {"without": [], "with": []}
    for _ in range(options.repeats):
        for name, found in rows.items():
            plain = {key: value for key, value in os.environ.items() if key not in ALLOCATOR}
            done = subprocess.run(
                [sys.executable, __file__, "--one", "--model", options.model],
                env=plain | (ALLOCATOR if name == "with" else {}) | {"OMP_NUM_THREADS": "1"},
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            found.append(json.loads(done.stdout.splitlines()[-1]))
    middle = {
        name: {key: median(row[key] for row in found) for key in found[0]} for name, found in rows.items()
    }
    for name, values in middle.items():
        print(f"{name:8s}" + "  ".join(f"{key} {value:,.2f}" for key, value in values.items()))
    times = {name: values["user_s"] + values["system_s"] for name, values in middle.items()}
    ratio = times["with"] / times["without"]
    print(f"processor time with / without {ratio:.2f}; transparent huge pages: {_huge_pages()}")
    if options.json:
        result = {
            "name": "allocator", "machine": platform.processor() or platform.machine(),
            "model": options.model, "load": os.getloadavg()[0], "huge_pages": _huge_pages(),
            "rows": rows, "ratio": ratio,
        }  # fmt: skip
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def _huge_pages() -> str:
    path = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return path.read_text().partition("[")[2].partition("]")[0] if path.exists() else "unknown"


def _measure(name: str) -> dict[str, float]:
    import torch

    from modelatlas.attribution import attribute
    from modelatlas.zoo._torchvision_ops import declare_missing_ops

    declare_missing_ops()
    import timm

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False).eval().to(memory_format=torch.channels_last)
    images = torch.randn(8, 3, 256, 256).to(memory_format=torch.channels_last)
    attribute(model, images)
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    for _ in range(ROUNDS):
        attribute(model, images)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "user_s": (after.ru_utime - before.ru_utime) / ROUNDS,
        "system_s": (after.ru_stime - before.ru_stime) / ROUNDS,
        "wall_s": (time.perf_counter() - began) / ROUNDS,
        "faults": (after.ru_minflt - before.ru_minflt) / ROUNDS,
        "peak_mb": after.ru_maxrss / 1024,
    }


if __name__ == "__main__":
    main()
