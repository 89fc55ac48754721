"""Every family of three libraries, attributed: writes architectures.json and docs/architectures.md.

    python benchmarks/architectures.py [NAME ...] [--again failed|all] [--write-only]

architectures.toml lists one small variant of each family, built untrained. For each, in a process of its own
with a limit of processor time and memory:

- the target layer by rule, and the three maps of four photographs, in float32, with the library's own
  weights;
- the share of the gradient that all images have in common (below);
- the error of the relevance budget in float64, with all weights, norms' statistics and biases drawn anew,
  since the libraries start many of them at 0 or 1, where a rule may be wrong unseen;
- processor seconds an image for all three maps, one thread.

With g_i the gradient at image i, the share is

    mean over pairs i != j of <g_i, g_j>  /  mean over i of <g_i, g_i>

which is |c|^2 / (|c|^2 + E|d|^2) for g_i = c + d_i with uncorrelated d_i: 1 for a linear network, 0 where
images have nothing in common (it may come out slightly below 0).

Each line is kept in .cache/architectures.jsonl as it is done; a second call does what is missing.
"""

import argparse
import importlib
import json
import multiprocessing
import platform
import resource
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from architectures_page import CPU_SECONDS, GIBIBYTES, IMAGES, LIBRARIES, METHODS, page, verdict

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "benchmarks" / "architectures.toml"
LINES = ROOT / ".cache" / "architectures.jsonl"
RESULT = ROOT / "benchmarks" / "architectures.json"
PAGE = ROOT / "docs" / "architectures.md"

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
WALL_SECONDS = 900


class Entry(NamedTuple):
    """One line of architectures.toml."""

    library: str
    family: str
    model: str
    side: int
    options: Mapping[str, Any]
    part: str

    @property
    def key(self) -> str:
        """What a kept line is found by: a changed entry runs again."""
        return json.dumps(self._asdict(), sort_keys=True)


def entries() -> list[Entry]:
    """Read what there is to run, in the order of the file."""
    table = tomllib.loads(LIST.read_text())
    return [
        Entry(
            library,
            family,
            values.get("model", family),
            values["side"],
            values.get("options", {}),
            values.get("part", ""),
        )
        for library in LIBRARIES
        for family, values in table[library].items()
    ]


def build(entry: Entry) -> Any:
    """Build the untrained network, in evaluation mode."""
    import torch

    torch.manual_seed(0)
    options = {key: None if value == "none" else value for key, value in entry.options.items()}
    if entry.library == "timm":
        import timm

        net = timm.create_model(entry.model, pretrained=False, **options)
    elif entry.library == "torchvision":
        import torchvision

        net = torchvision.models.get_model(entry.model, weights=None, **options)
    else:
        import transformers

        kind = getattr(transformers, entry.model)
        net = kind(kind.config_class(**options))
    return (net.get_submodule(entry.part) if entry.part else net).eval()


def photographs(side: int) -> Any:
    """Four photographs, [4, 3, side, side], float32, about standardised."""
    import skimage.data
    import torch
    from PIL import Image

    found = []
    for name in PHOTOGRAPHS:
        picture = Image.fromarray(getattr(skimage.data, name)())
        edge = min(picture.size)
        left, top = (picture.width - edge) // 2, (picture.height - edge) // 2
        square = picture.crop((left, top, left + edge, top + edge)).resize(
            (side, side), Image.Resampling.BILINEAR
        )
        found.append(torch.frombuffer(bytearray(square.tobytes()), dtype=torch.uint8).view(side, side, 3))
    return torch.stack(found).permute(0, 3, 1, 2).contiguous().float().div(255).sub(0.5).div(0.25)


def measure(entry: Entry) -> dict[str, Any]:
    """Everything that is told of one network."""
    from modelatlas.attribution import attribute, target_layer
    from modelatlas.attribution.budget import relevance_budget

    net, images = build(entry), photographs(entry.side)
    chosen = target_layer(net, images)
    row: dict[str, Any] = {
        "parameters": sum(p.numel() for p in net.parameters()),
        "layer": chosen.name,
        "shape": list(chosen.shape),
        "reason": chosen.reason,
    }
    started = time.process_time()
    maps = attribute(net, images, layer=chosen.name)
    row["seconds"] = (time.process_time() - started) / len(images)
    row["alive"] = {method: _alive(maps[method]) for method in METHODS}
    row["common"] = common_share(maps["gradient-x-input"] / images)  # 127.5 is no grey value
    all_alive = all(count == IMAGES for count in row["alive"].values())
    net, images = net.double(), images.double()
    if not all_alive:
        own = relevance_budget(net, images[:1], layer=chosen.name)
        row["absorbed"] = own.absorbed / own.total if own.total else None
    redraw(net)
    budget = relevance_budget(net, images[:1], layer=chosen.name)
    row["budget_error"], row["at_pixels"] = budget.error, abs(budget.inputs) / budget.magnitude
    if not all_alive:
        maps = attribute(net, images, layer=chosen.name)
        row["alive_redrawn"] = {method: _alive(maps[method]) for method in METHODS}
    return row


def _alive(maps: Any) -> int:
    """How many maps are finite and not below 1e-6 of the median norm (docs/method.md)."""
    norms = maps.double().flatten(1).norm(dim=1)
    return int(((norms > 0) & norms.isfinite() & (norms >= 1e-6 * norms.median())).sum())


def common_share(gradients: Any) -> float | None:
    """Share of the gradient that images have in common, by its square; see the head."""
    g = gradients.double().flatten(1)
    products, count = g @ g.T, len(g)
    own = float(products.trace())
    return (float(products.sum()) - own) / (count - 1) / own if own else None


def redraw(net: Any) -> None:
    """Draw all weights and statistics anew, none of them 0 or 1, at sizes that keep activations in range."""
    import torch

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in net.named_parameters():
            noise = torch.randn(value.shape, generator=generator)
            if value.dim() == 1 and name.rpartition(".")[2] in ("weight", "gamma"):
                value.copy_(1 + noise.clamp(-2, 2) * 0.2)
            else:
                value.copy_(noise * max(1, value[0].numel() if value.dim() > 1 else 1) ** -0.5)
        for name, value in net.named_buffers():
            if name.endswith("running_mean"):
                value.copy_(torch.randn(value.shape, generator=generator) * 0.3)
            elif name.endswith("running_var"):
                value.copy_(0.5 + torch.rand(value.shape, generator=generator))


def _child(entry: Entry, pipe: Any) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 10))
    resource.setrlimit(resource.RLIMIT_AS, (GIBIBYTES << 30,) * 2)
    import torch

    torch.set_num_threads(1)
    try:
        row = measure(entry)
    except Exception as error:  # it is the line's result
        row = {"error": f"{type(error).__name__}: {error}".replace("\n", " ")[:400]}
    pipe.send(row)


def import_libraries() -> None:
    """Import once, before the processes are forked: the imports take longer than most networks."""
    from modelatlas.zoo._torchvision_ops import declare_missing_ops

    declare_missing_ops()
    for name in (*LIBRARIES, "modelatlas.attribution.budget", "skimage.data"):
        importlib.import_module(name)


def run(entry: Entry) -> dict[str, Any]:
    """Measure one network in a process of its own."""
    processes = multiprocessing.get_context("fork")
    mine, theirs = processes.Pipe(duplex=False)
    child = processes.Process(target=_child, args=(entry, theirs))
    child.start()
    theirs.close()
    try:
        row = mine.recv() if mine.poll(WALL_SECONDS) else {"error": f"no answer within {WALL_SECONDS} s"}
    except EOFError:
        child.join(10)
        limits = f"{CPU_SECONDS} s of processor time, {GIBIBYTES} GiB"
        row = {"error": f"its process ended with status {child.exitcode} (limits: {limits})"}
    child.kill()
    child.join()
    return {**entry._asdict(), **row, "key": entry.key}


def kept_lines() -> dict[str, dict[str, Any]]:
    """Lines of earlier calls by key; the last one counts."""
    if not LINES.exists():
        return {}
    rows = [json.loads(line) for line in LINES.read_text().splitlines() if line.endswith("}")]
    return {row["key"]: row for row in rows}


def keep_line(row: Mapping[str, Any]) -> None:
    """Add a line; what a killed call left half-written stays a line of its own, which no one reads."""
    with LINES.open("a+") as file:
        file.seek(0)
        text = file.read()
        file.write(("\n" if text and not text.endswith("\n") else "") + json.dumps(row) + "\n")


def to_do(names: list[str], again: str) -> Iterator[Entry]:
    """Entries without a line, and those that are to run again."""
    done = kept_lines()
    for entry in entries():
        row = done.get(entry.key)
        if names and entry.family not in names and entry.model not in names:
            continue
        if row is None or names or again == "all" or (again == "failed" and verdict(row)):
            yield entry


def _a_row_a_line(result: Mapping[str, Any]) -> str:
    head = json.dumps({key: value for key, value in result.items() if key != "rows"}, indent=1)
    rows = ",\n  ".join(json.dumps(row, allow_nan=False) for row in result["rows"])
    return f'{head[:-2]},\n "rows": [\n  {rows}\n ]\n}}'


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing and write both files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="families or models to run (again)")
    parser.add_argument(
        "--again", choices=["failed", "all"], default="", help="run lines again that are there"
    )
    parser.add_argument("--write-only", action="store_true", help="write the files from what is there")
    options = parser.parse_args(arguments)
    LINES.parent.mkdir(exist_ok=True)
    waiting = [] if options.write_only else list(to_do(options.names, options.again))
    if waiting:
        import_libraries()
    for position, entry in enumerate(waiting, 1):
        row = run(entry)
        keep_line(row)
        print(
            f"{position}/{len(waiting)} {entry.library} {entry.family}: {verdict(row) or 'passes'}",
            flush=True,
        )
    done = kept_lines()
    rows = [done[entry.key] for entry in entries() if entry.key in done]
    missing = [entry.family for entry in entries() if entry.key not in done]
    if missing:
        sys.exit(f"not measured yet: {', '.join(missing)}; call again without names")
    result = {
        "machine": f"{platform.system()} {platform.machine()}",
        "versions": {name: version(name) for name in ("torch", *LIBRARIES)},
        "rows": [{key: value for key, value in row.items() if key != "key"} for row in rows],
    }
    RESULT.write_text(_a_row_a_line(result) + "\n")
    PAGE.write_text(page(result))
    print(f"{sum(not verdict(row) for row in rows)} of {len(rows)} pass; wrote {RESULT.name}, {PAGE.name}")


if __name__ == "__main__":
    main()
