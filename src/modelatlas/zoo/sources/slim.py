"""`slim:<name>`: the ten classifiers of TF-Slim that the paper charts (cards in `ports/slim.toml`).

Their target is the layer before the logits, as in the supplement's table 1. The checkpoints lie in a public
bucket, which TF-Slim's page links over http; here the bucket's https address is used. The MobileNets were
published twice: `origin=2018` is the later set.
"""

import tomllib
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from typing import Any, Final

from torch import nn

from modelatlas.zoo.architectures.mobilenet_v1 import MobileNetV1, mobilenet_names
from modelatlas.zoo.architectures.slim_resnet import SlimResNet, resnet_names
from modelatlas.zoo.architectures.slim_timm import (
    inception_names,
    inception_resnet_names,
    inception_resnet_v2,
    inception_v3,
    vgg,
    vgg_names,
)
from modelatlas.zoo.card import ModelCard
from modelatlas.zoo.checkpoints import NameTable
from modelatlas.zoo.ports import Origin, Port, PortedSource
from modelatlas.zoo.preprocess import Preprocess

__all__ = ["SlimSource"]

_MODELS: Final = "https://storage.googleapis.com/download.tensorflow.org/models"
_LATER: Final = f"{_MODELS}/mobilenet_v1_2018_02_22"
_INPUTS: Final[dict[str, dict[str, Any]]] = {
    "inception": {"range": (-1.0, 1.0), "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},
    "vgg": {"range": (0.0, 255.0), "mean": (123.68, 116.78, 103.94), "std": (1.0, 1.0, 1.0)},
}
_NETWORKS: Final[dict[str, tuple[Callable[[], nn.Module], Callable[[Any], NameTable]]]] = {
    "inception_v3": (inception_v3, inception_names),
    "inception_resnet_v2": (inception_resnet_v2, inception_resnet_names),
    "vgg_16": (partial(vgg, 16), vgg_names),
    "vgg_19": (partial(vgg, 19), vgg_names),
    "resnet_v1_50": (partial(SlimResNet, "resnet_v1_50"), resnet_names),
    "resnet_v1_101": (partial(SlimResNet, "resnet_v1_101"), resnet_names),
    "resnet_v1_152": (partial(SlimResNet, "resnet_v1_152"), resnet_names),
    "mobilenet_v1_100_224": (partial(MobileNetV1, 1.0), mobilenet_names),
    "mobilenet_v1_050_160": (partial(MobileNetV1, 0.5), mobilenet_names),
    "mobilenet_v1_025_128": (partial(MobileNetV1, 0.25), mobilenet_names),
}


class SlimSource(PortedSource):
    """TF-Slim's classifiers."""

    def __init__(self) -> None:
        content = (files("modelatlas.zoo.ports") / "slim.toml").read_text(encoding="utf-8")
        super().__init__(
            "slim",
            "slim:<name>, ten ImageNet classifiers of TF-Slim",
            {name: _port(name, table) for name, table in tomllib.loads(content).items()},
        )


def _port(name: str, table: dict[str, Any]) -> Port:
    build, names = _NETWORKS[name]
    archive = f"{_MODELS}/{table['archive']}"
    origins = [Origin("2016", archive, "archive", "tensorflow-v1", table["checkpoint"])]
    if "later" in table:
        member = table["later"].replace(".tgz", ".ckpt")
        origins = [
            Origin("2017", archive, "archive", "tensorflow-v2", table["checkpoint"]),
            Origin("2018", f"{_LATER}/{table['later']}", "archive", "tensorflow-v2", member),
        ]
    return Port(
        card=ModelCard(
            name=f"slim:{name}",
            spec=f"slim:{name}",
            task="classification",
            group="semantic",
            licence="not stated for the weights (repository: Apache-2.0)",
            citation=table["citation"],
            training_data="ILSVRC2012",
            pretrained_encoder="none",
            parameters=table["parameters"],
            input=Preprocess(table["size"], table["size"], **_INPUTS[table["input"]]),
            layer=table["layer"],
            layer_shape=tuple(table["layer_shape"]),
        ),
        build=build,
        names=lambda network, _: names(network),
        origins=tuple(origins),
    )
