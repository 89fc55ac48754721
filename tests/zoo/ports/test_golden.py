"""The ports compute what TensorFlow computes: small golden numbers, float64, random weights and statistics.

`golden.json` was written by `python studies/ports/prove.py`: TF-Slim's own networks, TensorFlow 2.15.1.
Weights and input are drawn here again, by the names that TensorFlow gives the variables: a wrong name, axis
order, padding, epsilon or activation changes everything. The full-size comparisons stand in docs/ports.md.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from studies.ports.drawn import picture, weights

from modelatlas.zoo import ModelSpec, source_for
from modelatlas.zoo.checkpoints import Checkpoint, StoredArray
from modelatlas.zoo.checkpoints.filling import stored_shape

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())
RESULTS = json.loads((Path(__file__).parents[3] / "studies" / "ports" / "results.json").read_text())
LARGE = ("vgg", "inception_resnet", "resnet_v1_101", "resnet_v1_152")  # seconds each
SCOPES = {
    "inception_v3": "InceptionV3", "inception_resnet_v2": "InceptionResnetV2", "mobilenet": "MobilenetV1",
    "vgg_16": "vgg_16", "vgg_19": "vgg_19", "resnet_v1_50": "resnet_v1_50", "resnet_v1_101": "resnet_v1_101",
    "resnet_v1_152": "resnet_v1_152", "room_layout": "feedforward",
}  # fmt: skip


def drawn_checkpoint(model, port, network) -> Checkpoint:
    """What TensorFlow would have written, drawn by its names."""
    empty = Checkpoint(Path(model), "tensorflow-v2", {})
    table = port.names(network, empty)
    scope = next((f"{scope}/" for part, scope in SCOPES.items() if part in model), "")
    own = network.state_dict()
    shapes = {scope + slot.name: stored_shape(own[ours].shape, slot) for ours, slot in table.slots.items()}

    def read(name):
        return lambda: weights({name: shapes[name]}, seed=model)[name]

    arrays = {name: StoredArray(shape, read(name)) for name, shape in shapes.items()}
    return Checkpoint(Path(model), "tensorflow-v2", arrays)


def marked(model):
    return pytest.param(model, marks=[pytest.mark.slow] if any(part in model for part in LARGE) else [])


@pytest.mark.parametrize("model", [marked(model) for model in GOLDEN])
def test_target_and_gradient_are_tensorflows(model):
    spec, golden = ModelSpec.parse(model), GOLDEN[model]
    port = source_for(spec).ports[spec.name]
    network = port.build().eval()
    port.load(drawn_checkpoint(model, port, network), network, model=model)
    network.double()
    size = port.card.input
    images = size.tensor(picture(size.height, size.width, seed=model))
    pixels = torch.from_numpy(images[None, :, : golden["height"], : golden["width"]].astype(np.float64))
    pixels.requires_grad_(True)
    outputs = []
    network.get_submodule(port.card.layer).register_forward_hook(
        lambda _, __, output: outputs.append(output.clone())
    )
    network(pixels)
    (gradient,) = torch.autograd.grad(outputs[0].sum(), pixels)
    # float64 sums in another order: a thousand times finer than the float32 limit of the proof
    for name, ours in (("target", outputs[0].detach()), ("gradient", gradient)):
        flat, expected = ours.numpy().ravel(), np.array(golden[name]["picked"])
        picked = flat[np.linspace(0, flat.size - 1, len(expected)).astype(int)]
        assert np.linalg.norm(flat) == pytest.approx(golden[name]["norm"], rel=1e-10)
        scale = golden[name]["norm"] / flat.size**0.5
        np.testing.assert_allclose(picked, expected, rtol=1e-9, atol=1e-9 * scale)


def test_the_table_has_thirty_rows_within_the_limits():
    names = [
        f"{source}:{name}"
        for source in ("taskonomy", "slim")
        for name in source_for(ModelSpec.parse(f"{source}:x")).names()
    ]
    assert list(RESULTS) == names
    assert len(names) == 30
    for model, row in RESULTS.items():
        assert max(row["stage"], row["target"]) < 1e-5, model
        assert max(row["target_double"], row["gradient_double"]) < 1e-6, model
        assert row["parameters"] == row["stated"], model
        assert (row["conversion"] is not None) == model.startswith("taskonomy:")
        assert (row["conversion"] or 0) < 1e-5
        assert all(norm > 0 for norm in row["alive"].values())
        assert len(row["alive"]) == 3
        assert row["stages"] >= 5
