"""Prove that the ports of the paper's networks compute what their originals compute: one row a model.

    python studies/ports/prove.py [MODEL ...] [--again] [--golden]

For every model of the zoos `taskonomy` and `slim`: random weights and random batch norm statistics go into the
reference network (`reference.py`, TensorFlow in an environment of its own under `.cache/ports`, made here
if it is not there), which writes them as the kind of checkpoint that the model was published as. Our reader reads
it, our network runs, and both are compared. Taskonomy's PyTorch conversion is compared too, through a
file of its own format. Rows that are there are kept unless `--again`. `--golden` writes the small numbers
that the test suite compares with instead (`tests/zoo/ports/golden.json`).

Differences are L2 norm of the difference / L2 norm of the reference. Rows go to `results.json` beside this
file, the table to `docs/ports-table.md`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import torch

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))

import modelatlas as ma
from modelatlas.zoo import ModelSpec, card, source_for
from modelatlas.zoo.checkpoints import open_checkpoint, unused_of
from studies.ports.drawn import picture, uniform

HERE = Path(__file__).parent
CACHE = REPOSITORY / ".cache" / "ports"
RESULTS = HERE / "results.json"
GOLDEN = REPOSITORY / "tests" / "zoo" / "ports" / "golden.json"
SEED = 7
PICKS = 48  # numbers of a target and of a gradient that a golden entry keeps
METHODS = ("saliency", "gradient-x-input", "epsilon-lrp")
SMALL = {  # model of the test suite -> height, width: odd and even, so that every padding is met
    "slim:inception_v3": (107, 96),
    "slim:inception_resnet_v2": (107, 96),
    "slim:vgg_16": (224, 224),
    "slim:vgg_19": (224, 224),
    "slim:resnet_v1_50": (65, 96),
    "slim:resnet_v1_101": (65, 96),
    "slim:resnet_v1_152": (65, 96),
    "slim:mobilenet_v1_100_224": (65, 96),
    "slim:mobilenet_v1_050_160": (65, 96),
    "slim:mobilenet_v1_025_128": (65, 96),
    "taskonomy:rgb2depth": (65, 96),
    "taskonomy:colorization": (65, 96),
    "taskonomy:room_layout": (65, 96),
}
# end points of TF-Slim whose names are not those of our modules
STAGES = {
    "inception_resnet_v2": {
        "Mixed_5b": "mixed_5b",
        "Mixed_6a": "mixed_6a",
        "PreAuxLogits": "repeat_1",
        "Mixed_7a": "mixed_7a",
        "Conv2d_7b_1x1": "conv2d_7b",
    },
    "resnet": {f"block{n}": f"trunk.block{n}" for n in range(1, 5)} | {"global_pool": "pool5"},
    "taskonomy": {f"block{n}": f"encoder.block{n}" for n in range(1, 5)},
    "vgg": {"fc6": "pre_logits.act1", "fc7": "pre_logits"},
}


@dataclass(frozen=True)
class Row:
    """What was measured of one model; differences are relative."""

    model: str
    reference: str
    format: str
    stages: int
    stage: float
    target: float
    target_double: float
    gradient_double: float
    conversion: float | None
    parameters: int
    stated: int
    layer_shape: list[int]
    unused: dict[str, int]
    alive: dict[str, float]


def main() -> None:
    """Measure what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--again", action="store_true", help="measure rows that are there, too")
    parser.add_argument("--golden", action="store_true", help="write the test suite's small numbers")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.golden:
        entries = json.loads(GOLDEN.read_text()) if GOLDEN.is_file() else {}
        for model in options.models or SMALL:
            if options.again or model not in entries:
                entries[model] = golden(model)
                GOLDEN.parent.mkdir(parents=True, exist_ok=True)
                GOLDEN.write_text(json.dumps(entries, indent=None, separators=(",", ":")) + "\n")
                print(model, flush=True)
        return
    rows = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for model in options.models or names():
        if options.again or model not in rows:
            rows[model] = asdict(measure(model))
            RESULTS.write_text(
                json.dumps({name: rows[name] for name in names() if name in rows}, indent=1) + "\n"
            )
            print(json.dumps(rows[model]), flush=True)
    (REPOSITORY / "docs" / "ports-table.md").write_text(table(rows))


def names() -> list[str]:
    """All models, in the order of the table."""
    return [
        f"{source}:{name}"
        for source in ("taskonomy", "slim")
        for name in source_for(ModelSpec.parse(f"{source}:x")).names()
    ]


def measure(model: str) -> Row:
    """Run reference and port."""
    known, port, network = ported(model)
    images = known.input.tensor(picture(known.input.height, known.input.width, seed=SEED))[None]
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        reference(model, images, Path(folder))
        checkpoint = open_checkpoint(Path(folder) / "model.ckpt")
        filling = port.load(checkpoint, network, model=model)
        stages = dict(np.load(Path(folder) / "stages.npz"))
        double = dict(np.load(Path(folder) / "double.npz"))
    target, compared = compare_single(network, known, model, images, stages)
    target_double, gradient = compare_double(network, known.layer, images, double)
    network.float()
    return Row(
        model=model,
        reference="tf_slim 1.1.0, networks of tensorflow/models (Slim), TensorFlow 2.15.1",
        format=checkpoint.format,
        stages=len(compared),
        stage=max(compared.values()),
        target=target,
        target_double=target_double,
        gradient_double=gradient,
        conversion=conversion(model, known, images) if model.startswith("taskonomy:") else None,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        stated=known.parameters,
        layer_shape=list(known.layer_shape),
        unused=unused_of(filling),
        alive=alive(network, images, known.layer),
    )


def ported(model: str):
    """Card, port, and the network in eval mode."""
    source, spec = source_for(ModelSpec.parse(model)), ModelSpec.parse(model)
    port = source.ports[spec.name]
    return card(model), port, port.build().eval()


def reference(model: str, images: np.ndarray, folder: Path, *options: str) -> None:
    """Run the reference in its environment, which is made at the first call."""
    np.save(folder / "input.npy", images.transpose(0, 2, 3, 1))
    command = [environment(), str(HERE / "reference.py"), model, str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{model}: the reference failed:\n{done.stderr[-3000:]}")


def environment() -> str:
    """Python of the reference environment; TensorFlow 2.15.1 needs Python 3.9 to 3.11."""
    python = CACHE / "venv" / "bin" / "python"
    if not (CACHE / "visualpriors").is_dir():
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([sys.executable, "-m", "venv", str(CACHE / "venv")], check=True)
        subprocess.run([*pip, "-r", str(HERE / "requirements.txt")], check=True)
        # their own requirements (detection, training) are not needed
        subprocess.run([*pip, "--no-deps", "tf_models_research_object_detection==2.8.0.post1"], check=True)
        target = ["--target", str(CACHE / "visualpriors")]
        subprocess.run([*pip, "--no-deps", *target, "visualpriors==0.3.5"], check=True)
    return str(python)


def compare_single(network, known, model: str, images: np.ndarray, stages: dict) -> tuple[float, dict]:
    """Compare target and end points in float32."""
    wanted = {name: array for name, array in stages.items() if name != "TARGET"}
    modules = {module: name for name in wanted if (module := module_of(name, model, network)) is not None}
    outputs = record(network, [*modules, known.layer], torch.from_numpy(images))
    assert list(outputs[known.layer].shape[1:]) == list(known.layer_shape)
    compared = {name: difference(outputs[module], wanted[name]) for module, name in modules.items()}
    compared["logits"] = difference(outputs[""], wanted["logits"] if "logits" in wanted else stages["TARGET"])
    return difference(outputs[known.layer], stages["TARGET"]), compared


def compare_double(network, layer: str, images: np.ndarray, double: dict) -> tuple[float, float]:
    """Compare the target, and the gradient of its sum, in float64."""
    network.double()
    pixels = torch.from_numpy(images.astype(np.float64)).requires_grad_(True)
    output = record(network, [layer], pixels)[layer]
    (gradient,) = torch.autograd.grad(output.sum(), pixels)
    return difference(output, double["target"]), difference(gradient, double["gradient"])


def record(network, layers: list[str], images: torch.Tensor) -> dict:
    """Outputs of modules, and of the network by the empty name."""
    outputs = {}
    hooks = [
        network.get_submodule(name).register_forward_hook(
            lambda _, __, output, name=name: outputs.__setitem__(name, output.clone())
        )
        for name in layers
    ]
    outputs[""] = network(images)
    for hook in hooks:
        hook.remove()
    return outputs


def module_of(stage: str, model: str, network) -> str | None:
    """Our module with the output of an end point of TF-Slim; None where there is none."""
    parts = stage.split("|")
    last = parts[-1]
    for family, renamed in STAGES.items():
        if family in model and last in renamed and "unit_" not in stage:
            return renamed[last]
    if "vgg" in model and last.startswith("conv"):
        convolutions = [
            name for name, part in network.features.named_children() if isinstance(part, torch.nn.Conv2d)
        ]
        order = sorted(last for last in vgg_convolutions(network))
        return f"features.{int(convolutions[order.index(last)]) + 1}"  # its ReLU
    return last if len(parts) == 1 and last in dict(network.named_modules()) else None


def vgg_convolutions(network) -> list[str]:
    """Names of VGG's convolutions in TF-Slim, in their order."""
    found, block, member = [], 1, 0
    for part in network.features:
        if isinstance(part, torch.nn.MaxPool2d):
            block, member = block + 1, 0
        elif isinstance(part, torch.nn.Conv2d):
            member += 1
            found.append(f"conv{block}_{member}")
    return found


def difference(ours: torch.Tensor, theirs: np.ndarray) -> float:
    """L2 of the difference / L2 of the reference; [N, H, W, C] is turned to ours."""
    reference = theirs.transpose(0, 3, 1, 2) if theirs.ndim == 4 else theirs
    mine = ours.detach().numpy().astype(np.float64)
    assert mine.size == reference.size, (mine.shape, reference.shape)
    return float(
        np.linalg.norm(mine.ravel() - reference.ravel().astype(np.float64)) / np.linalg.norm(reference)
    )


def conversion(model: str, known, images: np.ndarray) -> float:
    """Difference from the PyTorch conversion's own class, which is given our names' weights in its file format."""
    place = CACHE / "visualpriors" / "visualpriors" / "taskonomy_network.py"
    found = spec_from_file_location("taskonomy_network", place)
    module = module_from_spec(found)
    found.loader.exec_module(module)
    theirs = module.TaskonomyEncoder(normalize_outputs=False)
    if known.input.channels == 1:  # their class cannot, their file has it
        theirs.conv1 = torch.nn.Conv2d(1, 64, 7, 2, bias=False)
    state = {}
    for name, tensor in theirs.state_dict().items():
        drawn = torch.from_numpy(uniform(tuple(tensor.shape), seed=SEED, name=name)).float()
        if name.endswith("num_batches_tracked"):
            state[name] = tensor
        elif tensor.ndim == 4:
            state[name] = drawn * (6 / tensor[0].numel()) ** 0.5
        else:
            state[name] = 1 + drawn / 2 if name.endswith(("weight", "running_var")) else drawn / 10
    theirs.load_state_dict(state)
    _, port, ours = ported(model)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder, torch.no_grad():
        torch.save({"state_dict": state}, Path(folder) / "encoder.pth")
        port.load(open_checkpoint(Path(folder) / "encoder.pth"), ours, model=model)
        pixels = torch.from_numpy(images)
        return float((ours(pixels) - theirs(pixels)).norm() / theirs(pixels).norm())


def alive(network, images: np.ndarray, layer: str) -> dict[str, float]:
    """Norms of the three maps; `attribute` refuses a dead target."""
    maps = ma.attribute(network, torch.from_numpy(images), methods=METHODS, layer=layer)
    norms = {method: float(values.norm()) for method, values in maps.items()}
    assert all(np.isfinite(norm) and norm > 0 for norm in norms.values()), norms
    return norms


def golden(model: str) -> dict:
    """Target and gradient of the reference in float64, at a small input: some of the numbers, and their norms."""
    known = card(model)
    height, width = SMALL[model]
    images = known.input.tensor(picture(known.input.height, known.input.width, seed=SEED))
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        reference(model, images[None, :, :height, :width], Path(folder), "--small")
        double = dict(np.load(Path(folder) / "double.npz"))
    entry = {"height": height, "width": width, "seed": SEED}
    for name, array in double.items():
        turned = array.transpose(0, 3, 1, 2) if array.ndim == 4 else array
        at = np.linspace(0, turned.size - 1, PICKS).astype(int)
        entry[name] = {
            "shape": list(turned.shape[1:]),
            "norm": float(np.linalg.norm(turned)),
            "picked": turned.ravel()[at].tolist(),
        }
    return entry


def table(rows: dict) -> str:
    """Format the rows as Markdown."""
    head = (
        "| model | checkpoint | stages | worst stage | target | target, float64 | gradient, float64 | "
        "PyTorch conversion | parameters | layer | alive | left over |"
    )
    lines = [head, "|" + " --- |" * head.count(" | ") + " --- |"]
    for name in names():
        if name in rows:
            row = rows[name]
            lines.append(
                f"| `{name}` | {row['format'].removeprefix('tensorflow-').upper()} | {row['stages']} | "
                f"{row['stage']:.1e} | {row['target']:.1e} | {row['target_double']:.1e} | "
                f"{row['gradient_double']:.1e} | "
                f"{'' if row['conversion'] is None else format(row['conversion'], '.1e')} | "
                f"{row['parameters']:,} | {' x '.join(map(str, row['layer_shape']))} | "
                f"{len(row['alive'])} | {', '.join(f'{kind} {count}' for kind, count in row['unused'].items())} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
