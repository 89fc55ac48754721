"""The code on the documentation's pages runs."""

import re
import sys
from pathlib import Path

import pytest

from modelatlas.zoo import LoadedModel, ModelSpec, Source, load, read_zoo
from modelatlas.zoo import source as registry
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
