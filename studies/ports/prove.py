# ruff: noqa: E402 (the path comes before the imports)
"""Prove that the ports of the paper's networks compute what their originals compute: one row a model.

    python studies/ports/prove.py [MODEL ...] [--again]

For every model of the zoos `taskonomy` and `slim`: random weights and random batch norm statistics go into
the reference network (`reference.py`, TensorFlow in an environment of its own under `.cache/ports`, made
here if it is not there), which writes them as the kind of checkpoint that the model was published as. Our
reader reads it, our network runs, and both are compared. Taskonomy's PyTorch conversion is compared too,
through a file of its own format. Rows that are there are kept unless `--again`.

Differences are L2 norm of the difference / L2 norm of the reference: of end points and target in float32 at
the model's own input size, of the target and of the gradient of its sum in float64 at a small input of odd
and even sides. Rows go to `results.json` beside this file, the table to `docs/ports.md`, and some of
the float64 numbers to `tests/zoo/ports/golden.json`, which the test suite compares with.
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
sys.path.insert(0, str(REPOSITORY))  # for `studies.ports`, wherever this is called from

from studies.pages import insert
from studies.ports.drawn import picture, uniform

import modelatlas as ma
from modelatlas.zoo import ModelSpec, card, source_for
from modelatlas.zoo.checkpoints import open_checkpoint, unused_of

HERE = Path(__file__).parent
CACHE = REPOSITORY / ".cache" / "ports"
RESULTS = HERE / "results.json"
GOLDEN = REPOSITORY / "tests" / "zoo" / "ports" / "golden.json"
PICKS = 48  # numbers of a target and of a gradient that a golden entry keeps
VECTOR_TASKS = ("room_layout", "vanishing_point", "class_1000", "class_places")
METHODS = ("saliency", "gradient-x-input", "epsilon-lrp")
SMALL = {"inception": (107, 96), "vgg": (224, 224)}  # height, width by family
SMALL_OF_OTHERS = (65, 96)
TESTED = (  # of Taskonomy one a graph; the rest differ in weights alone
    "taskonomy:rgb2depth", "taskonomy:colorization", "taskonomy:room_layout",
)  # fmt: skip
# end points of TF-Slim whose names are not those of our modules
STAGES = {
    "inception_resnet_v2": {
        "Mixed_5b": "mixed_5b",
        "Mixed_6a": "mixed_6a",
        "PreAuxLogits": "repeat_1",
        "Mixed_7a": "mixed_7a",
        "Conv2d_7b_1x1": "conv2d_7b",
    },
    "resnet_v1": {f"block{n}": f"trunk.block{n}" for n in range(1, 5)} | {"global_pool": "pool5"},
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
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.is_file() else {}
    wanted = [model for model in options.models or names() if options.again or model not in rows]
    CACHE.mkdir(parents=True, exist_ok=True)
    for group in graphs(wanted):
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            reference(group, Path(folder))
            for number, model in enumerate(group):
                row, numbers = measure(model, Path(folder) / str(number))
                rows[model] = asdict(row)
                if model in TESTED or model.startswith("slim:"):
                    golden[model] = numbers
                write(rows, golden)
                print(json.dumps(rows[model]), flush=True)
    write(rows, golden)


def graphs(models: list[str]) -> list[list[str]]:
    """Group models of one graph, at most five: Taskonomy's by input channels and scope."""
    groups: dict = {}
    for model in models:
        task = model.partition(":")[2]
        same = model
        if model.startswith("taskonomy:"):
            same = (card(model).input.channels, task in VECTOR_TASKS)
        groups.setdefault(same, []).append(model)
    return [group[at : at + 5] for group in groups.values() for at in range(0, len(group), 5)]


def write(rows: dict, golden: dict) -> None:
    """Write what is known so far, in the order of the table."""
    ordered = {name: rows[name] for name in names() if name in rows}
    RESULTS.write_text(json.dumps(ordered, indent=1) + "\n")
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    lines = [f'"{name}":{json.dumps(golden[name], separators=(",", ":"))}' for name in sorted(golden)]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    insert("ports.md", "python studies/ports/prove.py", table(rows))


def names() -> list[str]:
    """All models, in the order of the table."""
    return [
        f"{source}:{name}"
        for source in ("taskonomy", "slim")
        for name in source_for(ModelSpec.parse(f"{source}:x")).names()
    ]


def measure(model: str, folder: Path) -> tuple[Row, dict]:
    """Run the port on what the reference left in a folder."""
    known, port, network = ported(model)
    checkpoint = open_checkpoint(folder / "model.ckpt")
    filling = port.load(checkpoint, network, model=model)
    images, small = inputs(model)
    even = images[:, :, :96, :96]  # sides at which the conversion pads as TensorFlow does
    target, compared = compare_single(network, known, model, images, dict(np.load(folder / "stages.npz")))
    maps = alive(network, images if model.startswith("slim:") else small, known.layer)
    double = dict(np.load(folder / "double.npz"))
    target_double, gradient = compare_double(network, known.layer, small, double)
    for path in checkpoint.files:
        path.unlink()
    row = Row(
        model=model,
        reference="tf_slim 1.1.0, networks of tensorflow/models (Slim), TensorFlow 2.15.1",
        format=checkpoint.format,
        stages=len(compared),
        stage=max(compared.values()),
        target=target,
        target_double=target_double,
        gradient_double=gradient,
        conversion=conversion(model, known, even) if model.startswith("taskonomy:") else None,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        stated=known.parameters,
        layer_shape=list(known.layer_shape),
        unused=unused_of(filling),
        alive=maps,
    )
    return row, {"height": small.shape[2], "width": small.shape[3]} | {
        name: reduced(array) for name, array in double.items()
    }


def inputs(model: str) -> tuple[np.ndarray, np.ndarray]:
    """Draw the input [1, C, H, W] of a model at its own size, and its top left corner at the small one."""
    preprocess = card(model).input
    images = preprocess.tensor(picture(preprocess.height, preprocess.width, seed=model))[None]
    height, width = next((size for family, size in SMALL.items() if family in model), SMALL_OF_OTHERS)
    return images, images[:, :, :height, :width]


def ported(model: str):
    """Card, port, and the network in eval mode."""
    source, spec = source_for(ModelSpec.parse(model)), ModelSpec.parse(model)
    port = source.ports[spec.name]
    return card(model), port, port.build().eval()


def reference(models: list[str], folder: Path) -> None:
    """Run the reference in its environment, which is made at the first call."""
    for number, model in enumerate(models):
        (folder / str(number)).mkdir()
        for name, images in zip(("input", "small"), inputs(model), strict=True):
            np.save(folder / str(number) / f"{name}.npy", images.transpose(0, 2, 3, 1))
    command = [environment(), str(HERE / "reference.py"), str(folder), *models]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(models)}: the reference failed:\n{done.stderr[-3000:]}")


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
    """Collect the outputs of modules, and of the network by the empty name."""
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
        return vgg_convolutions(network).get(last)
    return last if len(parts) == 1 and last in dict(network.named_modules()) else None


def vgg_convolutions(network) -> dict[str, str]:
    """Tell the module (a ReLU) of every convolution of VGG, by its name in TF-Slim."""
    found, block, member = {}, 1, 0
    for number, part in enumerate(network.features):
        if isinstance(part, torch.nn.MaxPool2d):
            block, member = block + 1, 0
        elif isinstance(part, torch.nn.Conv2d):
            member += 1
            found[f"conv{block}_{member}"] = f"features.{number + 1}"
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
    """Compare with the PyTorch conversion's own class, through a file of its format."""
    place = CACHE / "visualpriors" / "visualpriors" / "taskonomy_network.py"
    found = spec_from_file_location("taskonomy_network", place)
    module = module_from_spec(found)
    found.loader.exec_module(module)
    theirs = module.TaskonomyEncoder(normalize_outputs=False)
    if known.input.channels == 1:  # their class cannot, their file has it
        theirs.conv1 = torch.nn.Conv2d(1, 64, 7, 2, bias=False)
    state = {}
    for name, tensor in theirs.state_dict().items():
        drawn = torch.from_numpy(uniform(tuple(tensor.shape), seed=model, name=name)).float()
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


def reduced(array: np.ndarray) -> dict:
    """Reduce a float64 array to its norm and some of its numbers, evenly picked, channels before rows."""
    turned = array.transpose(0, 3, 1, 2) if array.ndim == 4 else array
    at = np.linspace(0, turned.size - 1, PICKS).astype(int)
    return {"norm": float(np.linalg.norm(turned)), "picked": turned.ravel()[at].tolist()}


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
                f"{'' if row['conversion'] is None else format(row['conversion'], '.2g')} | "
                f"{row['parameters']:,} | {' x '.join(map(str, row['layer_shape']))} | "
                f"{len(row['alive'])} | {sum(row['unused'].values())} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
