"""The built wheel in a clean environment: whatever the package needs, its metadata must bring.

Torch alone is lent by the environment of the tests: a fresh copy costs gigabytes where only CUDA builds are
served. pip sees it as installed; everything else comes from the package index.
"""

import json
import os
import subprocess
import sys
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from chartable import write_pictures

REPOSITORY = Path(__file__).parents[1]
LIMIT = 5_000_000

pytestmark = [pytest.mark.network, pytest.mark.timeout(1200)]

NETWORK = """
import torch
from modelatlas.zoo import Preprocess

def build():
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    return net.eval(), Preprocess(height=16, width=16)
"""


def _needed(name: str, found: set[str]) -> set[str]:
    """Distributions that `name` needs, itself included, of those that are installed here."""
    try:
        requirements = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return found
    if name in found:
        return found
    found.add(name)
    for text in requirements:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            _needed(requirement.name, found)
    return found


def _lend(name: str, site: Path) -> None:
    """Link a distribution, and what it needs, into another environment."""
    for needed in _needed(name, set()):
        files = metadata.distribution(needed).files or []
        tops = {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}
        for top in tops:
            origin = Path(str(metadata.distribution(needed).locate_file(top)))
            if origin.exists() and not (site / top).exists():
                (site / top).symlink_to(origin)


def _run(*words: str | Path, **env: str) -> str:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, env={**inherited, **env}, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_the_wheel_works_where_nothing_else_is_installed(tmp_path: Path) -> None:
    _run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, REPOSITORY)
    (wheel,) = tmp_path.glob("modelatlas-*.whl")
    assert wheel.stat().st_size < LIMIT
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"modelatlas", names[-1].split("/")[0]}

    home = tmp_path / "environment"
    venv.create(home, with_pip=True, symlinks=os.name != "nt")
    binaries = home / ("Scripts" if os.name == "nt" else "bin")
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    _lend("torch", Path(_run(binaries / "python", "-c", where).strip()))
    _run(binaries / "python", "-m", "pip", "install", "-q", wheel)

    (tmp_path / "mine.py").write_text(NETWORK)
    pictures = write_pictures(tmp_path / "pictures", 3)
    command, out = binaries / "modelatlas", tmp_path / "atlas"
    states = json.loads(_run(command, "doctor", "--json"))["findings"]
    assert not [finding for finding in states if finding["state"] == "problem"]
    assert json.loads(_run(command, "zoo", "list", "--json"))
    words = ["chart", "python:mine:build", "--probe", pictures, "--out", out, "--trust-code", "--json"]
    document = json.loads(_run(command, *words, PYTHONPATH=str(tmp_path)))
    assert document["models"][0]["status"] == "charted"
    assert (out / "report.html").stat().st_size > 10_000
    assert (out / "figures/maps.png").is_file()
