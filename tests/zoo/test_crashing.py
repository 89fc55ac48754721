"""A folder of transformers whose own code aborts the process is left out with its reason."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import modelatlas as ma

pytest.importorskip("transformers")

CODE = """
import os
import torch
from transformers import PretrainedConfig, PreTrainedModel

class OwnConfig(PretrainedConfig):
    model_type = "aborting-net"

class OwnNet(PreTrainedModel):
    config_class = OwnConfig
    main_input_name = "pixel_values"

    def __init__(self, config):
        super().__init__(config)
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.post_init()

    def forward(self, pixel_values):
        os.abort()
"""


def aborting(folder: Path) -> Path:
    folder.mkdir()
    files = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnNet"}
    config = {"model_type": "aborting-net", "auto_map": files, "image_size": 32}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(CODE)
    conv = torch.nn.Conv2d(3, 4, 3)
    state = {f"conv.{name}": tensor.clone() for name, tensor in conv.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_what_takes_its_process_down_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))  # of the worker, a process of its own
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number}.png")
    bad = f"hf:{aborting(tmp_path / 'bad')}"
    zoo = [bad, "timm:test_resnet?random=0"]
    atlas = ma.chart(zoo, probe=tmp_path / "pictures", out=tmp_path / "atlas", threads=1, trust_code=True)
    found = {model.name: (model.status, model.reason) for model in atlas.models}
    assert found[bad] == ("excluded", "its process ended by SIGABRT")
    assert found["timm:test_resnet?random=0"][0] == "charted"
