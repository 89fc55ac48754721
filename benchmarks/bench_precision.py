"""What bfloat16 does to affinities and rankings of real networks, and where `auto` takes it.

    python benchmarks/bench_precision.py [--zoo ZOO] [--probe PROBE] [--images N] [--json FILE]

Charts the zoo in float32, with bf16 and with auto. Where the processor has no bfloat16 instructions, torch
computes the same products by other ones: slower, so that times mean nothing there, but rounded alike.
"""

import argparse
import json
import platform
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

import modelatlas as ma
from modelatlas.probe import open_probe
from modelatlas.run import HereEngine, Settings, chart_maps, network, precision, preparation
from modelatlas.zoo import read_zoo

METHODS = ("saliency", "gradient-x-input", "epsilon-lrp")


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--zoo", default="demo")
    parser.add_argument("--probe", default="photos")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    own = precision.has_bfloat16(torch.device("cpu"))
    for module in (network, preparation):
        module.has_bfloat16 = lambda device: True  # type: ignore[attr-defined]
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        atlases = {}
        for kind in ("float32", "bf16", "auto"):
            out = Path(temporary, kind)
            chart_maps(
                read_zoo(options.zoo), open_probe(options.probe, images=options.images), out,
                Settings(methods=METHODS, precision=kind), engine=HereEngine,
            )  # fmt: skip
            atlases[kind] = ma.open_atlas(out)
        for kind in ("bf16", "auto"):
            rows += [_row(kind, method, atlases[kind], atlases["float32"]) for method in METHODS]
        models = atlases["auto"].document["models"].items()
        taken = {name: (model["precision"], model["precision_check"]) for name, model in models}
    result = {
        "name": "precision", "machine": platform.processor() or platform.machine(), "instructions": own,
        "zoo": options.zoo, "images": options.images, "rows": rows, "auto": taken,
    }  # fmt: skip
    for row in rows:
        print(" ".join(f"{key} {value}" for key, value in row.items()))
    print(json.dumps(taken, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def _row(kind: str, method: str, ours: ma.Atlas, exact: ma.Atlas) -> dict[str, Any]:
    a, b = (atlas.affinity(method) for atlas in (ours, exact))
    b = b.loc[a.index, a.columns]
    apart = ~np.eye(len(a), dtype=bool)
    orders = [spearmanr(a[name].drop(name), b[name].drop(name)).statistic for name in a.columns]
    return {
        "precision": kind, "method": method,
        "largest_difference": round(float(np.abs(a - b).to_numpy()[apart].max()), 5),
        "spearman_of_rankings": round(float(np.mean(orders)), 4), "least": round(float(np.min(orders)), 4),
        "spearman_of_pairs": round(float(spearmanr(a.to_numpy()[apart], b.to_numpy()[apart]).statistic), 5),
    }  # fmt: skip


if __name__ == "__main__":
    main()
