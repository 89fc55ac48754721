"""The code on the documentation's pages runs."""

import json
import re
import shlex
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from modelatlas.cli.app import run
from modelatlas.zoo import LoadedModel, ModelSpec, Source, load, read_zoo
from modelatlas.zoo import source as registry
from modelatlas.zoo.keras_models.backend import building
from modelatlas.zoo.packaged import PACKAGED

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


def test_the_zoo_file(tmp_path):
    (text,) = blocks("zoo-files.md", "toml")
    (tmp_path / "zoo.toml").write_text(text)
    zoo = read_zoo(tmp_path / "zoo.toml")
    assert [entry.name for entry in zoo.entries] == ["ResNet-18", "my depth net"]
    assert zoo.entries[1].tags == {"task": "depth", "group": "3D", "year": "2024"}


def test_the_users_own_network(tmp_path, monkeypatch):
    (code,) = blocks("zoo-files.md", "python")
    (tmp_path / "my_nets.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    try:
        model = load("python:my_nets:depth_net", trust_code=True)
    finally:
        sys.modules.pop("my_nets", None)
    assert isinstance(model, LoadedModel)
    assert model.preprocess.height == 256


def test_the_toy_source(monkeypatch):
    (code,) = blocks("adding-a-source.md", "python")
    names: dict = {}
    exec(compile(code, "adding-a-source.md", "exec"), names)
    toy = names["ToySource"]()
    assert isinstance(toy, Source)
    monkeypatch.setattr(registry, "sources", lambda: {"toy": toy})
    assert load("toy:4?depth=2&random=0").card.parameters == 3 * 4 * 9 + 4 + 4 * 4 * 9 + 4
    with pytest.raises(Exception, match="a toy's name is its width"):
        toy.card(ModelSpec.parse("toy:wide"))


def test_the_table_of_packaged_networks_is_the_cards():
    lines = (DOCS / "models.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if " MB |" in line]
    stated = {
        name.strip("`"): (task.partition(" (")[0], licence, package, float(size.removesuffix(" MB")))
        for name, task, licence, package, size, *_ in rows
    }
    assert stated == {
        name: (
            one.card.task,
            one.card.licence,
            f"`{one.package}` {one.version}",
            round(one.archive_bytes / 1e6, 1),
        )
        for name, one in PACKAGED.items()
    }


@pytest.fixture
def guide(tmp_path, monkeypatch):
    """A folder with files like those of the guide's reader."""
    transformers = pytest.importorskip("transformers")
    onnx_path, keras_path = tmp_path / "mine.onnx", tmp_path / "mine.keras"
    tiny = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 16}
    config = transformers.ViTConfig(image_size=32, patch_size=8, **tiny)
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path / "tiny-vit")
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "tiny-vit")
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's advice on its exporters
        torch.onnx.export(
            network, (torch.zeros(1, 3, 32, 32),), onnx_path, dynamo=False, input_names=["x"],
            dynamic_axes={"x": {0: "n"}},
        )  # fmt: skip
        with building() as keras:
            layers = keras.layers
            model = keras.Sequential([layers.Input((32, 32, 3)), layers.Conv2D(4, 3), layers.Flatten()])
            model.save(keras_path)
    torch.save({"state_dict": timm_with_classes(7)}, tmp_path / "mine.pt")
    (tmp_path / "pictures").mkdir()
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number}.png")
    (code,) = blocks("bring-your-model.md", "python")
    (tmp_path / "my_nets.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("my_nets", None)


def timm_with_classes(classes: int) -> dict:
    from modelatlas.zoo import declare_missing_ops

    declare_missing_ops()
    timm = pytest.importorskip("timm")
    state = timm.create_model("test_resnet", num_classes=classes).state_dict()
    return {f"module.{name}": tensor for name, tensor in state.items()}


def commands() -> list[str]:
    """Commands of the guide, in order; those with a placeholder are left out."""
    lines = (DOCS / "bring-your-model.md").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("modelatlas ") and "SPEC" not in line]


def test_every_source_has_its_command_in_the_guide():
    sources = ("timm", "torchvision", "hf", "keras", "onnx", "package", "python")
    assert all(any(f"{source}:" in command for command in commands()) for source in sources)


@pytest.mark.network
def test_the_commands_of_the_guide_run(guide, kept_cache, capsys):
    """In one process, one after another, as they stand on the page."""
    for command in commands():
        arguments = shlex.split(command)[1:]
        if arguments[0] == "chart":
            arguments += ["--threads", "1", "--quiet"]
        assert run(arguments) == 0, (command, capsys.readouterr())
    document = json.loads((guide / "atlas" / "atlas.json").read_text())
    assert [model["status"] for model in document["models"].values()] == ["charted", "charted"]
