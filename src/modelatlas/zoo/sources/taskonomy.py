"""`taskonomy:<task>`: the encoders of Taskonomy's twenty tasks (cards in `ports/taskonomy.toml`).

Two origins: the PyTorch conversions of the same group (`origin=pytorch`, the default: https, and the file's
name states its SHA-256), and the TensorFlow checkpoints of the paper (`origin=tensorflow`, http only).
"""

import tomllib
from functools import partial
from importlib.resources import files
from typing import Any, Final

from torch import nn

from modelatlas.zoo.architectures.taskonomy import (
    CODE_CHANNELS,
    TaskonomyEncoder,
    pytorch_names,
    tensorflow_names,
)
from modelatlas.zoo.card import ModelCard
from modelatlas.zoo.checkpoints import Checkpoint, NameTable
from modelatlas.zoo.ports import Origin, Port, PortedSource
from modelatlas.zoo.preprocess import Preprocess

__all__ = ["TaskonomySource"]

_PYTORCH: Final = "https://github.com/alexsax/visual-prior/raw/networks/assets/pytorch"
_TENSORFLOW: Final = "http://downloads.cs.stanford.edu/downloads/taskonomy_taskbankv1_models"
_RGB: Final = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
_INPUTS: Final = {
    "plain": Preprocess(256, 256, (-1.0, 1.0), **_RGB),  # type: ignore[arg-type]
    "low saturation": Preprocess(256, 256, (-1.0, 1.0), clip=(0.1, 0.9), **_RGB),  # type: ignore[arg-type]
    "hole": Preprocess(256, 256, (-1.0, 1.0), hole=0.5, **_RGB),  # type: ignore[arg-type]
    "lightness": Preprocess(256, 256, (-1.0, 1.0), mean=(0.0,), std=(1.0,), channel_order="L*"),
}
_PARAMETERS: Final = {3: 23_655_504, 1: 23_649_232}  # by input channels


class TaskonomySource(PortedSource):
    """Taskonomy's encoders."""

    def __init__(self) -> None:
        content = (files("modelatlas.zoo.ports") / "taskonomy.toml").read_text(encoding="utf-8")
        super().__init__(
            "taskonomy",
            "taskonomy:<task>, the encoders of Taskonomy's twenty single-image tasks",
            {task: _port(task, table) for task, table in tomllib.loads(content).items()},
        )


def _port(task: str, table: dict[str, Any]) -> Port:
    preprocess = _INPUTS[table["input"]]
    file = f"{table['pytorch']}_encoder-{table['sha256']}.pth"
    return Port(
        card=ModelCard(
            name=f"taskonomy:{task}",
            spec=f"taskonomy:{task}",
            task=task,
            group=table["group"],
            licence="MIT",
            citation="Zamir et al., Taskonomy: Disentangling Task Transfer Learning, CVPR 2018",
            training_data="Taskonomy",
            pretrained_encoder="none",
            parameters=_PARAMETERS[preprocess.channels],
            input=preprocess,
            layer="compress1",
            layer_shape=(CODE_CHANNELS, 16, 16),
        ),
        build=partial(TaskonomyEncoder, channels=preprocess.channels),
        names=_names,
        origins=(
            Origin("pytorch", f"{_PYTORCH}/{file}", "file", "torch", sha256=table["sha256"]),
            Origin(
                "tensorflow", f"{_TENSORFLOW}/{task}/model.permanent-ckpt", "tensorflow-v2", "tensorflow-v2",
                offers_https=False,
            ),
        ),
    )  # fmt: skip


def _names(network: nn.Module, checkpoint: Checkpoint) -> NameTable:
    assert isinstance(network, TaskonomyEncoder)
    return pytorch_names(network) if checkpoint.format == "torch" else tensorflow_names(network)
