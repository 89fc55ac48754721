"""Prove that the ports of the collected models compute what their authors' code computes: one row a network.

    python studies/ports/prove_collected.py [NETWORK ...] [--python FILE] [--golden]

As prove.py, whose environment it uses (`.cache/ports/venv`, made there): drawn weights go into the authors'
own graph (`collected_reference.py`; repositories cloned at the commits below), which writes them as a
TensorFlow checkpoint. Our reader reads it, our network runs, and every tensor that the reference gives is
compared, in float32. Rows go to `collected_results.json`; `--golden` also writes the small numbers that the
test suite compares with (`tests/zoo/ports/collected_golden.json`).

Differences are L2 norm of the difference / L2 norm of the reference.
"""

import argparse
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "studies" / "ports"))  # where both environments find it

from collected_draw import drawn, images  # noqa: E402

import modelatlas as ma  # noqa: E402
from modelatlas.zoo import ModelSpec, source_for  # noqa: E402
from modelatlas.zoo.checkpoints import open_checkpoint, unused_of  # noqa: E402

CACHE = REPOSITORY / ".cache" / "ports"
RESULTS = Path(__file__).parent / "collected_results.json"
GOLDEN = REPOSITORY / "tests" / "zoo" / "ports" / "collected_golden.json"
PICKS = 48  # numbers of each tensor that a golden entry keeps
METHODS = ("saliency", "gradient-x-input", "epsilon-lrp")
REPOSITORIES = {
    "JiahuiYu/generative_inpainting": "06cd62cfca8c10c349b451fa33d9cbb786bfaa20",
    "JiahuiYu/neuralgym": "88292adb524186693a32404c0cfdc790426ea441",
    "iro-cp/FCRN-DepthPrediction": "4212943719de2ce7e287a289e9fb2b4b54bc2417",
    "YadiraF/PRNet": "fc12fe5e1f1462bdea52409b213d0cf1c8cf6c5b",
    "shekkizh/FCN.tensorflow": "691effb86f41ceef614859447f754f4e5f13c7d1",
    "cydonia999/Tiny_Faces_in_Tensorflow": "feccef440fafd8cf9f9d1d49f1824f8993439d4b",
    "ImagingLab/Colorizing-with-GANs": "13bb4c49144788d20729cab120f205440917d8c3",
}
# a spec of each, and the module that gives each tensor of the reference; "" is the network itself
NETWORKS = {
    "inpainting": ("collected:inpainting-places2", {"target": "allconv12", "output": ""}),
    "fcrn": (
        "collected:fcrn-nyu",
        {"pool1": "trunk.pool1", "res5c": "trunk", "target": "layer1", "output": ""},
    ),
    "prn": ("collected:prn", {"target": "ResBlock10", "output": ""}),
    "fcn": ("collected:fcn-voc", {"target": "Conv8", "output": ""}),
    "tiny_face": ("collected:tiny-face", {"target": "res4b22", "output": ""}),
    "colorization": ("collected:colorization", {"target": "conv7", "output": ""}),
}


def main() -> None:
    """Measure, and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK")
    parser.add_argument(
        "--python", type=Path, default=CACHE / "venv/bin/python", help="of the reference environment"
    )
    parser.add_argument("--golden", action="store_true", help="write the test suite's small numbers, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    entries = json.loads(GOLDEN.read_text()) if GOLDEN.is_file() else {}
    for name in options.networks or NETWORKS:
        reference = run_reference(name, options.python)
        rows[name] = measure(name, reference)
        print(json.dumps(rows[name]), flush=True)
        RESULTS.write_text(json.dumps({key: rows[key] for key in NETWORKS if key in rows}, indent=1) + "\n")
        if options.golden:
            entries[name] = {key: picked(reference[key]) for key in reference if key != "counts"}
            GOLDEN.write_text(json.dumps(entries, separators=(",", ":")) + "\n")


def run_reference(name: str, python: Path) -> dict[str, np.ndarray]:
    """Run the authors' code; what an earlier call wrote is used again."""
    folder = CACHE / "collected" / name
    if not (folder / "reference.npz").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        clone()
        if name == "tiny_face":
            write_pickle(folder / "weights")
        script = Path(__file__).with_name("collected_reference.py")
        subprocess.run([python, script, name, CACHE / "repositories", folder], check=True)
    with np.load(folder / "reference.npz") as arrays:
        return dict(arrays)


def clone() -> None:
    """Have the authors' repositories, at their commits."""
    for repository, commit in REPOSITORIES.items():
        folder = CACHE / "repositories" / repository.partition("/")[2]
        if not folder.is_dir():
            subprocess.run(["git", "clone", "-q", f"https://github.com/{repository}", folder], check=True)
            subprocess.run(["git", "-C", folder, "checkout", "-q", commit], check=True)


def write_pickle(path: Path) -> None:
    """Draw the pickle that the tiny face detector's code reads, by the shapes that our table expects."""
    source, spec = source_for(ModelSpec.parse("collected:tiny-face")), ModelSpec.parse("collected:tiny-face")
    network = source.port(spec).build()
    state, table = network.state_dict(), source.port(spec).names(network, None)
    arrays = {
        slot.name: drawn(slot.name, stored(state[ours].shape, slot.layout))
        for ours, slot in table.slots.items()
    }
    with path.open("wb") as stream:
        pickle.dump([{}, arrays], stream, 4)  # an older NumPy reads it


def stored(shape: torch.Size, layout: str) -> tuple[int, ...]:
    """Shape in a checkpoint of a tensor of the network."""
    return tuple(shape[axis] for axis in (2, 3, 1, 0)) if layout == "HWIO" else tuple(shape)


def measure(name: str, reference: dict[str, np.ndarray]) -> dict:
    """Load the reference's own checkpoint, run the port, compare."""
    text, modules = NETWORKS[name]
    spec = ModelSpec.parse(text)
    source = source_for(spec)
    port = source.port(spec)
    network = port.build().eval()
    filling = port.load(open_checkpoint(CACHE / "collected" / name / "weights"), network, model=text)
    given = torch.from_numpy(images(name).transpose(0, 3, 1, 2).copy())
    values, gradient = run(network, given, modules)
    differences = {key: apart(values[key], reference[key]) for key in modules}
    double = {}
    if reference["target"].dtype == np.float64:
        exact, exact_gradient = run(network.double(), given.double(), modules)
        double = {"target": apart(exact["target"], reference["target"])}
        double["gradient"] = apart(exact_gradient, reference["gradient"])
        network.float()
    maps = ma.attribute(network, given, methods=METHODS, layer=port.card.layer)
    return {
        "model": text,
        "differences": differences,
        "gradient": apart(gradient, reference["gradient"]),
        "double": double,
        "variables": int(reference["counts"][0]),
        "values": int(reference["counts"][1]),
        "filled": sum(tensor.numel() for tensor in filling.state.values()),
        "unused": unused_of(filling),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "stated": port.card.parameters,
        "input": list(given.shape[1:]),
        "target": list(values["target"].shape[1:]),
        "alive": {key: float((found.abs() > 0).double().mean()) for key, found in maps.items()},
    }


def run(network: torch.nn.Module, given: torch.Tensor, modules: dict[str, str]) -> tuple[dict, np.ndarray]:
    """Values of modules [1, H, W, C], and the gradient of the target's sum with respect to the input."""
    kept: dict[str, torch.Tensor] = {}
    hooks = [
        network.get_submodule(path).register_forward_hook(
            lambda _, __, value, key=key: kept.update({key: value})
        )
        for key, path in modules.items()
    ]
    given = given.clone().requires_grad_(True)
    network(given)
    (gradient,) = torch.autograd.grad(kept["target"].sum(), given)
    for hook in hooks:
        hook.remove()
    flat = {key: value.detach().permute(0, 2, 3, 1).numpy() for key, value in kept.items()}
    return flat, gradient.permute(0, 2, 3, 1).numpy()


def apart(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Relative L2 difference."""
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    norm = np.linalg.norm(theirs.astype(np.float64).ravel())
    return float(np.linalg.norm((ours.astype(np.float64) - theirs).ravel()) / norm)


def picked(values: np.ndarray) -> dict:
    """Keep a tensor's shape, its L2 norm, and numbers at places spread over it."""
    flat = values.astype(np.float64).ravel()
    places = np.linspace(0, flat.size - 1, PICKS).astype(int)
    return {
        "shape": list(values.shape),
        "norm": float(np.linalg.norm(flat)),
        "values": [float(np.float32(value)) for value in flat[places]],
    }


if __name__ == "__main__":
    main()
