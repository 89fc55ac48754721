"""Attribution engine against bare autograd, Captum, Zennit and the matrix-product floor.

    python benchmarks/bench_attribution.py [--json FILE] [--models NAME ...] [--repeats N] [--threads N]

Timm networks with random weights, 8 images each. Candidates take turns, in another order each round: a
machine's drift, and what one leaves in caches, hit all alike. All have the memory settings of the workers
of `chart`.

    engine        all three methods (attribute), BatchNorm folded into the convolutions, as `chart` does
    engine-bf16   the same with products in bfloat16, where the processor multiplies it itself
    bare          one forward and two backward passes of autograd, folded too, parameters frozen
    bare-once     one forward and one backward pass
    as-it-is      engine without folding
    captum        Saliency and InputXGradient, as its users call them
    saliency      Captum's Saliency alone (memory)
    zennit        epsilon rule with merged BatchNorm: epsilon-lrp (networks that Zennit has a canonizer for)
    floor         FLOPs of three passes / the peak rate of a matrix product measured beside them (computed)

Peak memory: of a process that does nothing but this, above its level before the first call (Linux).
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from modelatlas.attribution import Folding, attribute, target_layer
from modelatlas.run.engines.apart import ALLOCATOR
from modelatlas.run.precision import has_bfloat16, multiplying
from modelatlas.zoo._torchvision_ops import declare_missing_ops
from tables import attribution

declare_missing_ops()

MODELS = {"resnet50": 256, "vit_small_patch16_224": 224, "mobilenetv3_large_100": 256, "mobilenetv2_100": 256}
IMAGES = 8
_RAW = argparse.RawDescriptionHelpFormatter
Candidate = Callable[[], object]


def _load(name: str) -> tuple[nn.Module, Tensor, str]:
    import timm

    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False).eval()
    images = torch.randn(IMAGES, 3, MODELS[name], MODELS[name])
    if "vit" not in name:
        model = model.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    return model, images, target_layer(model, images).name


def _candidates(model: nn.Module, images: Tensor, layer: str) -> dict[str, Candidate]:
    total = LayerTotal(model, layer)
    folding = Folding.of(model, images[:1], layer)

    def folded(call: Candidate) -> Candidate:
        def run() -> None:
            with folding.applied():
                call()

        return run

    def bare(passes: int) -> None:
        model.requires_grad_(False)
        leaf = images.clone().requires_grad_()
        value = total(leaf).sum()
        for left in reversed(range(passes)):
            torch.autograd.grad(value, leaf, retain_graph=left > 0)
        model.requires_grad_(True)

    def captum(*names: str) -> None:
        import captum.attr

        for name in names:
            getattr(captum.attr, name)(total).attribute(images.clone().requires_grad_())

    def in_bfloat16() -> None:
        with multiplying(images.device, "bf16"):
            attribute(model, images, layer=layer)

    found: dict[str, Candidate] = {
        "engine": folded(lambda: attribute(model, images, layer=layer)),
        "bare": folded(lambda: bare(2)),
        "bare-once": folded(lambda: bare(1)),
        "as-it-is": lambda: attribute(model, images, layer=layer),
        "captum": lambda: captum("Saliency", "InputXGradient"),
        "saliency": lambda: captum("Saliency"),
    }
    if has_bfloat16(images.device):
        found["engine-bf16"] = folded(in_bfloat16)
    if type(model).__name__ == "ResNet":
        found["zennit"] = lambda: _zennit(total, model, images)
    return found


class LayerTotal(nn.Module):
    """T of each image, by the shortest way: the forward pass ends with the layer."""

    def __init__(self, model: nn.Module, layer: str) -> None:
        super().__init__()
        self.model, self.layer = model, layer

    def forward(self, images: Tensor) -> Tensor:
        """T of each image, [N]."""
        caught: list[Tensor] = []

        def catch(module: nn.Module, args: object, output: Tensor) -> None:
            caught.append(output.flatten(1).sum(1))
            raise StopIteration

        handle = self.model.get_submodule(self.layer).register_forward_hook(catch)
        try:
            self.model(images)
        except StopIteration:
            pass
        finally:
            handle.remove()
        return caught[0]


def _zennit(total: LayerTotal, model: nn.Module, images: Tensor) -> None:
    from zennit.canonizers import SequentialMergeBatchNorm
    from zennit.composites import LayerMapComposite
    from zennit.rules import Epsilon, Pass
    from zennit.types import Activation, BatchNorm, Convolution, Linear

    rules = [(Activation, Pass()), (BatchNorm, Pass()), (Convolution, Epsilon(1e-4)), (Linear, Epsilon(1e-4))]
    leaf = images.clone().requires_grad_()
    with LayerMapComposite(rules, canonizers=[SequentialMergeBatchNorm()]).context(model):
        torch.autograd.grad(total(leaf).sum(), leaf)


def _floor_seconds(model: nn.Module, images: Tensor, layer: str) -> tuple[float, float]:
    """Seconds of three passes' FLOPs at the matrix product's peak, and the peak in GFLOP/s."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        LayerTotal(model, layer)(images)
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    seconds = min(_timed(lambda: a @ b) for _ in range(5))
    peak = 2 * 2048**3 / seconds
    return 3 * counter.get_total_flops() / peak, peak / 1e9


def _timed(call: Candidate) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _peak_memory(name: str, candidate: str, threads: int) -> float | None:
    """MiB above the idle level, in a process of its own."""
    command = [sys.executable, __file__, "--peak", name, candidate, "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(done.stdout) if done.returncode == 0 else None


def _print_peak(name: str, candidate: str) -> None:
    call = _candidates(*_load(name))[candidate]
    Path("/proc/self/clear_refs").write_text(
        "5"
    )  # forget the peak so far (ru_maxrss would keep the parent's)
    idle = _kilobytes("VmRSS")
    call()
    print((_kilobytes("VmHWM") - idle) / 1024)


def _kilobytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def _measure(name: str, repeats: int, threads: int) -> dict[str, object]:
    model, images, layer = _load(name)
    calls = _candidates(model, images, layer)
    seconds: dict[str, list[float]] = {key: [] for key in calls}
    for call in calls.values():
        call()
    order, rng = list(calls), random.Random(0)
    for _ in range(repeats):
        rng.shuffle(order)
        for key in order:
            seconds[key].append(_timed(calls[key]))
    floor, peak = _floor_seconds(model, images, layer)
    middle = {key: median(values) for key, values in seconds.items()}
    ratios = [ours / bare for ours, bare in zip(seconds["engine"], seconds["bare"], strict=True)]
    row: dict[str, object] = {
        "model": name,
        "layer": layer,
        "images": list(images.shape),
        "unit": "s",
        "median": middle,
        "spread": {key: [min(values), max(values)] for key, values in seconds.items()},
        "floor": floor,
        "matrix_product_gflops": peak,
        "engine_to_bare": median(ratios),
        "peak_mib": {key: _peak_memory(name, key, threads) for key in ("engine", "bare", "saliency")},
    }
    print(json.dumps(row, indent=1), flush=True)
    return row


def main() -> None:
    """Measure, print each model's row as it is done, and write all of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="file to write the result to")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--peak", nargs=2, metavar=("MODEL", "CANDIDATE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not ALLOCATOR.items() <= os.environ.items():  # read once, when a process starts
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ALLOCATOR})
    warnings.filterwarnings("ignore", module="captum|zennit|timm")
    torch.set_num_threads(options.threads)
    if options.peak:
        _print_peak(*options.peak)
        return
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    result = {
        "name": "attribution",
        "commit": head.stdout.strip(),
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "threads": options.threads,
        "repeats": options.repeats,
        "load_before": os.getloadavg()[0],
        "rows": [_measure(name, options.repeats, options.threads) for name in options.models],
    }
    print("\n".join(attribution([("here", result)])))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
