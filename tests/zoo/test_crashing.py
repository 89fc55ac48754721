"""A folder of transformers whose own code aborts the process is left out with its reason."""

import numpy as np
import pytest
from PIL import Image

import modelatlas as ma
from zoo.hub_server import own_network

pytest.importorskip("transformers")


def test_what_takes_its_process_down_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))  # of the worker, a process of its own
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number}.png")
    own_network(tmp_path / "bad", forward="os.abort()")
    bad = f"hf:{tmp_path / 'bad'}"
    zoo = [bad, "timm:test_resnet?random=0"]
    atlas = ma.chart(zoo, probe=tmp_path / "pictures", out=tmp_path / "atlas", threads=1, trust_code=True)
    found = {model.name: (model.status, model.reason) for model in atlas.models}
    assert found[bad] == ("excluded", "its process ended by SIGABRT")
    assert found["timm:test_resnet?random=0"][0] == "charted"
