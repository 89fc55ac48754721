"""A third party's source: a distribution that is really installed, found by its entry point."""

import importlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from modelatlas.cli.app import run
from modelatlas.errors import InputError
from modelatlas.zoo import broken_sources, card, load, sources
from modelatlas.zoo.source import _discovered
from zoo.checks import check_source

SOURCE = """
from torch import nn
from modelatlas.zoo import ModelCard, Preprocess


class ToySource:
    prefix = "toy"
    summary = "toy:<width>, toy networks"
    options = ("depth",)
    runs_user_code = False

    def names(self):
        return ("4", "8")

    def card(self, spec):
        return ModelCard(name=spec.text, spec=spec.text, task="toys", input=Preprocess(height=16, width=16))

    def build(self, spec, *, pretrained):
        width, depth = int(spec.name), int(spec.options.get("depth", "1"))
        layers = [nn.Conv2d(3 if index == 0 else width, width, 3) for index in range(depth)]
        return nn.Sequential(*layers)


class Impostor:
    prefix = "toy"


def broken():
    raise ImportError


hijack = ToySource()
hijack.prefix = "timm"
"""


def install(folder: Path, points: str) -> Path:
    """Build a wheel and let pip install it into a folder of its own."""
    wheel = folder / "toy_source-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("toy_source.py", SOURCE)
        archive.writestr(
            "toy_source-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy-source\nVersion: 1.0\n"
        )
        archive.writestr(
            "toy_source-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("toy_source-1.0.dist-info/entry_points.txt", f"[modelatlas.sources]\n{points}\n")
        archive.writestr("toy_source-1.0.dist-info/RECORD", "")
    site = folder / "site"
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-index",
        "--no-deps",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return site


@pytest.fixture
def installed(tmp_path, monkeypatch):
    def with_points(points: str) -> None:
        monkeypatch.syspath_prepend(str(install(tmp_path, points)))
        importlib.invalidate_caches()
        _discovered.cache_clear()

    yield with_points
    sys.modules.pop("toy_source", None)
    _discovered.cache_clear()


def test_a_source_that_is_installed_is_there(installed):
    installed("toy = toy_source:ToySource")
    assert "toy" in sources()
    check_source("toy:4")
    assert load("toy:4?depth=3&random=0").card.parameters == 3 * 4 * 9 + 4 + 2 * (4 * 4 * 9 + 4)
    with pytest.raises(InputError, match="toy: takes weights, layer, random, depth"):
        load("toy:4?width=3")


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ("toy = toy_source:Impostor", "is no source named 'toy'"),
        ("toy = toy_source:hijack", "is no source named 'toy'"),
        ("toy = toy_source:absent", r"cannot be loaded: .*absent"),
        ("toy = absent_module:Source", r"cannot be loaded: .*absent_module"),
        ("timm = toy_source:hijack", "claims a prefix that is taken"),
    ],
)
def test_a_broken_source_is_named_and_keeps_no_other_from_working(installed, points, message, capsys):
    installed(points)
    name = points.partition(" ")[0]
    assert set(broken_sources()) == {name}
    assert re.search(message, broken_sources()[name])
    assert "toy-source" in broken_sources()[name]
    assert card("timm:resnet18").task == "classification"
    if name == "toy":
        with pytest.raises(InputError, match=message):
            card("toy:4")
    assert run(["zoo", "list"]) == 0
    assert "toy-source" in capsys.readouterr().err
