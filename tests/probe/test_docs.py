"""The code on the documentation's page of probes runs."""

import json
import re
from pathlib import Path

import numpy as np

from modelatlas.probe import open_probe

PAGE = Path(__file__).parents[2] / "docs" / "probes.md"


def block(language):
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return found


def test_the_python(pictures, monkeypatch):
    monkeypatch.chdir(pictures.parent)
    pictures.rename("my-pictures")
    names = {"transform": lambda square: square.transpose(2, 0, 1).astype(np.float32)}
    exec(compile(block("python"), PAGE.name, "exec"), names)
    assert names["part"].indices == (8, 9, 10, 11)
    assert names["part"].inputs.shape == (4, 3, 9, 9)


def test_the_manifest(pictures):
    manifest = json.loads(block("json"))
    image = open_probe(pictures).images[0]
    manifest["images"][0] |= {"sha256": image.sha256, "path": image.path.relative_to(pictures).as_posix()}
    (pictures / "mine.json").write_text(json.dumps(manifest))
    probe = open_probe(pictures / "mine.json")
    assert (probe.name, [one.id for one in probe.images]) == ("mine", ["cat"])
    assert probe.images[0].licence == "CC0-1.0"
