"""One published workload end to end: 17 ResNet-50 encoders x 200 images of 256 px x 3 methods.

    python benchmarks/bench_published.py [--precision float32|bf16] [--encoders N] [--images N] [--device D]
                                         [--json FILE]
    python benchmarks/bench_published.py --device cuda --encoders 20 --images 1000     # on a GPU

A later paper measured, for as many Taskonomy encoders of that size on a V100, 3.2e3 s for saliency and
5.6e3 s for epsilon-LRP, one method each. Printed beside as context only: another machine, other code. The
networks here have random weights, which cost what trained ones do. Times are of the command line, from its
start to the written report; `model_seconds` is what the atlas says its maps took.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PUBLISHED = {"saliency": 3.2e3, "epsilon-lrp": 5.6e3}
LIMITS = {"float32": 900, "bf16": 500}
SIDE = 256
ENCODERS, MOST = 17, 20


def encoder(seed: int) -> Any:
    """Return a ResNet-50 without its head, with weights of `seed`, and what it expects."""
    import timm
    import torch

    from modelatlas.zoo import Preprocess

    torch.manual_seed(seed)
    return timm.create_model("resnet50", num_classes=0).eval(), Preprocess(height=SIDE, width=SIDE)


for _number in range(MOST):
    globals()[f"encoder_{_number:02d}"] = partial(encoder, _number)  # each a name that a spec can give


def main() -> None:
    """Chart, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precision", choices=LIMITS, default="float32")
    parser.add_argument("--encoders", type=int, default=ENCODERS, help=f"at most {MOST}")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    specs = ",".join(f"python:bench_published:encoder_{k:02d}" for k in range(options.encoders))
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as temporary:
        probe, out = _pictures(Path(temporary, "probe"), options.images), Path(temporary, "atlas")
        words = [specs, "--probe", str(probe), "--out", str(out), "--precision", options.precision]
        words += ["--device", options.device]
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "modelatlas.cli", "chart", *words, "--trust-code", "--quiet"],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)}, check=True,
        )  # fmt: skip
        seconds = time.perf_counter() - began
        models = json.loads((out / "atlas.json").read_text())["models"].values()
        attribution = sum(model["seconds"] for model in models)
    result = {
        "name": "published", "machine": platform.processor() or platform.machine(), "cores": os.cpu_count(),
        "load_before": load, "device": options.device, "precision": options.precision,
        "encoders": options.encoders,
        "images": options.images, "seconds": seconds, "model_seconds": attribution,
        "whole_to_models": seconds / attribution, "published_seconds": PUBLISHED,
    }  # fmt: skip
    print(json.dumps(result, indent=1))
    print(f"{seconds:.0f} s for all three methods (limit here: {LIMITS[options.precision]} s on 2 cores)")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def _pictures(folder: Path, count: int) -> Path:
    """Smooth random pictures; what they show costs nothing."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        cells = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        cells.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(folder / f"{number:03d}.png")
    return folder


if __name__ == "__main__":
    main()
