"""TF-Slim's Inception V3, Inception-ResNet V2 and VGG, in timm's architectures.

timm's VGG and Inception-ResNet V2 are the same functions. Its Inception V3 differs in the 3 x 3 average
pools of nine blocks: they count the padding, TensorFlow leaves it out; a factor of 9 / (pixels that are
there) before the convolution that follows mends that (6.5e-2 off without it). Slim's batch norms of both
Inceptions have no scale: timm's is fixed at one and is no parameter.
"""

from types import ModuleType
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelatlas.errors import MissingExtraError
from modelatlas.zoo._torchvision_ops import declare_missing_ops
from modelatlas.zoo.checkpoints import NameTable, Slot, normed

__all__ = [
    "inception_names",
    "inception_resnet_names",
    "inception_resnet_v2",
    "inception_v3",
    "vgg",
    "vgg_names",
]

_CLASSES: Final = 1001  # class 0 is the background
_EPSILON: Final = 1e-3
_UNUSED: Final = (r"Inception\w+/AuxLogits/", r".*/mean_rgb$")

# per block of Inception V3: scope in the checkpoint -> module in timm
_5: Final = {
    "Branch_0/Conv2d_0a_1x1": "branch1x1",
    "Branch_1/Conv2d_0a_1x1": "branch5x5_1",
    "Branch_1/Conv2d_0b_5x5": "branch5x5_2",
    "Branch_2/Conv2d_0a_1x1": "branch3x3dbl_1",
    "Branch_2/Conv2d_0b_3x3": "branch3x3dbl_2",
    "Branch_2/Conv2d_0c_3x3": "branch3x3dbl_3",
    "Branch_3/Conv2d_0b_1x1": "branch_pool.conv",
}
_5C_RENAMED: Final = {  # a slip in TF-Slim that its checkpoints keep
    "Branch_1/Conv2d_0a_1x1": "Branch_1/Conv2d_0b_1x1",
    "Branch_1/Conv2d_0b_5x5": "Branch_1/Conv_1_0c_5x5",
}
_6A: Final = {
    "Branch_0/Conv2d_1a_1x1": "branch3x3",
    "Branch_1/Conv2d_0a_1x1": "branch3x3dbl_1",
    "Branch_1/Conv2d_0b_3x3": "branch3x3dbl_2",
    "Branch_1/Conv2d_1a_1x1": "branch3x3dbl_3",
}
_6: Final = {
    "Branch_0/Conv2d_0a_1x1": "branch1x1",
    "Branch_1/Conv2d_0a_1x1": "branch7x7_1",
    "Branch_1/Conv2d_0b_1x7": "branch7x7_2",
    "Branch_1/Conv2d_0c_7x1": "branch7x7_3",
    "Branch_2/Conv2d_0a_1x1": "branch7x7dbl_1",
    "Branch_2/Conv2d_0b_7x1": "branch7x7dbl_2",
    "Branch_2/Conv2d_0c_1x7": "branch7x7dbl_3",
    "Branch_2/Conv2d_0d_7x1": "branch7x7dbl_4",
    "Branch_2/Conv2d_0e_1x7": "branch7x7dbl_5",
    "Branch_3/Conv2d_0b_1x1": "branch_pool.conv",
}
_7A: Final = {
    "Branch_0/Conv2d_0a_1x1": "branch3x3_1",
    "Branch_0/Conv2d_1a_3x3": "branch3x3_2",
    "Branch_1/Conv2d_0a_1x1": "branch7x7x3_1",
    "Branch_1/Conv2d_0b_1x7": "branch7x7x3_2",
    "Branch_1/Conv2d_0c_7x1": "branch7x7x3_3",
    "Branch_1/Conv2d_1a_3x3": "branch7x7x3_4",
}
_7: Final = {
    "Branch_0/Conv2d_0a_1x1": "branch1x1",
    "Branch_1/Conv2d_0a_1x1": "branch3x3_1",
    "Branch_1/Conv2d_0b_1x3": "branch3x3_2a",
    "Branch_1/Conv2d_0c_3x1": "branch3x3_2b",
    "Branch_2/Conv2d_0a_1x1": "branch3x3dbl_1",
    "Branch_2/Conv2d_0b_3x3": "branch3x3dbl_2",
    "Branch_2/Conv2d_0c_1x3": "branch3x3dbl_3a",
    "Branch_2/Conv2d_0d_3x1": "branch3x3dbl_3b",
    "Branch_3/Conv2d_0b_1x1": "branch_pool.conv",
}
_7B_RENAMED: Final = {"Branch_1/Conv2d_0c_3x1": "Branch_1/Conv2d_0b_3x1"}
_STEM: Final = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3")
_INCEPTION_V3: Final = {
    **{stem: {"": ""} for stem in _STEM},
    "Mixed_5b": _5,
    "Mixed_5c": {_5C_RENAMED.get(scope, scope): module for scope, module in _5.items()},
    "Mixed_5d": _5,
    "Mixed_6a": _6A,
    **dict.fromkeys(("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"), _6),
    "Mixed_7a": _7A,
    "Mixed_7b": {_7B_RENAMED.get(scope, scope): module for scope, module in _7.items()},
    "Mixed_7c": _7,
}

# the same of Inception-ResNet V2; "up" is the convolution with a bias and without a norm
_BLOCK35: Final = {
    "Branch_0/Conv2d_1x1": "branch0",
    "Branch_1/Conv2d_0a_1x1": "branch1.0",
    "Branch_1/Conv2d_0b_3x3": "branch1.1",
    "Branch_2/Conv2d_0a_1x1": "branch2.0",
    "Branch_2/Conv2d_0b_3x3": "branch2.1",
    "Branch_2/Conv2d_0c_3x3": "branch2.2",
}
_BLOCK17: Final = {
    "Branch_0/Conv2d_1x1": "branch0",
    "Branch_1/Conv2d_0a_1x1": "branch1.0",
    "Branch_1/Conv2d_0b_1x7": "branch1.1",
    "Branch_1/Conv2d_0c_7x1": "branch1.2",
}
_BLOCK8: Final = {
    "Branch_0/Conv2d_1x1": "branch0",
    "Branch_1/Conv2d_0a_1x1": "branch1.0",
    "Branch_1/Conv2d_0b_1x3": "branch1.1",
    "Branch_1/Conv2d_0c_3x1": "branch1.2",
}
_INCEPTION_RESNET: Final[dict[tuple[str, str], dict[str, str]]] = {
    ("Conv2d_1a_3x3", "conv2d_1a"): {"": ""},
    ("Conv2d_2a_3x3", "conv2d_2a"): {"": ""},
    ("Conv2d_2b_3x3", "conv2d_2b"): {"": ""},
    ("Conv2d_3b_1x1", "conv2d_3b"): {"": ""},
    ("Conv2d_4a_3x3", "conv2d_4a"): {"": ""},
    ("Mixed_5b", "mixed_5b"): {
        "Branch_0/Conv2d_1x1": "branch0",
        "Branch_1/Conv2d_0a_1x1": "branch1.0",
        "Branch_1/Conv2d_0b_5x5": "branch1.1",
        "Branch_2/Conv2d_0a_1x1": "branch2.0",
        "Branch_2/Conv2d_0b_3x3": "branch2.1",
        "Branch_2/Conv2d_0c_3x3": "branch2.2",
        "Branch_3/Conv2d_0b_1x1": "branch3.1",
    },
    **{(f"Repeat/block35_{n}", f"repeat.{n - 1}"): _BLOCK35 for n in range(1, 11)},
    ("Mixed_6a", "mixed_6a"): {
        "Branch_0/Conv2d_1a_3x3": "branch0",
        "Branch_1/Conv2d_0a_1x1": "branch1.0",
        "Branch_1/Conv2d_0b_3x3": "branch1.1",
        "Branch_1/Conv2d_1a_3x3": "branch1.2",
    },
    **{(f"Repeat_1/block17_{n}", f"repeat_1.{n - 1}"): _BLOCK17 for n in range(1, 21)},
    ("Mixed_7a", "mixed_7a"): {
        "Branch_0/Conv2d_0a_1x1": "branch0.0",
        "Branch_0/Conv2d_1a_3x3": "branch0.1",
        "Branch_1/Conv2d_0a_1x1": "branch1.0",
        "Branch_1/Conv2d_1a_3x3": "branch1.1",
        "Branch_2/Conv2d_0a_1x1": "branch2.0",
        "Branch_2/Conv2d_0b_3x3": "branch2.1",
        "Branch_2/Conv2d_1a_3x3": "branch2.2",
    },
    **{(f"Repeat_2/block8_{n}", f"repeat_2.{n - 1}"): _BLOCK8 for n in range(1, 10)},
    ("Block8", "block8"): _BLOCK8,
    ("Conv2d_7b_1x1", "conv2d_7b"): {"": ""},
}
_WITH_UP: Final = ("Repeat", "Block8")


class _PaddingLeftOut(nn.Module):
    """Undoes that a 3 x 3 average of stride 1 counted the zeros around the picture."""

    def forward(self, x: Tensor) -> Tensor:
        there = F.avg_pool2d(torch.ones_like(x[:1, :1]), 3, stride=1, padding=1)
        return x / there


def inception_v3() -> nn.Module:
    """Timm's Inception V3 with TensorFlow's average pools, 1001 classes, no auxiliary head."""
    network = _timm().create_model("inception_v3", num_classes=_CLASSES, aux_logits=False)
    for block in network.children():
        if isinstance(branch := getattr(block, "branch_pool", None), nn.Module):
            mended = nn.Sequential()
            mended.add_module("edges", _PaddingLeftOut())
            mended.add_module("conv", branch)
            block.branch_pool = mended
    return _without_scale(network)


def inception_resnet_v2() -> nn.Module:
    """Timm's Inception-ResNet V2 with 1001 classes."""
    return _without_scale(_timm().create_model("inception_resnet_v2", num_classes=_CLASSES))


def vgg(depth: int) -> nn.Module:
    """Timm's VGG 16 or 19, whose first fully connected layer is a 7 x 7 convolution as in TF-Slim."""
    network = _timm().create_model(f"vgg{depth}")
    assert isinstance(network, nn.Module)
    return network


def inception_names(network: nn.Module) -> NameTable:
    """Names of Inception V3 in TF-Slim's checkpoints."""
    slots: dict[str, Slot] = {}
    for block, table in _INCEPTION_V3.items():
        for scope, module in table.items():
            slots |= _conv(f"{block}.{module}".rstrip("."), f"{block}/{scope}".rstrip("/"))
    slots |= {"fc.weight": Slot("Logits/Conv2d_1c_1x1/weights", "11IO")}
    slots |= {"fc.bias": Slot("Logits/Conv2d_1c_1x1/biases")}
    return NameTable(slots, anchor="Logits/Conv2d_1c_1x1/weights", unused=_UNUSED, constant=_scales(network))


def inception_resnet_names(network: nn.Module) -> NameTable:
    """Names of Inception-ResNet V2 in TF-Slim's checkpoints."""
    slots: dict[str, Slot] = {}
    for (scope, block), table in _INCEPTION_RESNET.items():
        for part, module in table.items():
            slots |= _conv(f"{block}.{module}".rstrip("."), f"{scope}/{part}".rstrip("/"))
        if scope.startswith(_WITH_UP):
            slots[f"{block}.conv2d.weight"] = Slot(f"{scope}/Conv2d_1x1/weights", "HWIO")
            slots[f"{block}.conv2d.bias"] = Slot(f"{scope}/Conv2d_1x1/biases")
    slots |= {
        "classif.weight": Slot("Logits/Logits/weights", "IO"),
        "classif.bias": Slot("Logits/Logits/biases"),
    }
    # not Logits/Logits, which ends like AuxLogits/Logits
    return NameTable(slots, anchor="Conv2d_7b_1x1/weights", unused=_UNUSED, constant=_scales(network))


def vgg_names(network: nn.Module) -> NameTable:
    """Names of VGG in TF-Slim's checkpoints: convolutions are counted by block, timm counts all layers."""
    slots: dict[str, Slot] = {}
    block, member = 1, 0
    for number, layer in enumerate(network.get_submodule("features").children()):
        if isinstance(layer, nn.MaxPool2d):
            block, member = block + 1, 0
        if isinstance(layer, nn.Conv2d):
            member += 1
            scope = f"conv{block}/conv{block}_{member}"
            slots[f"features.{number}.weight"] = Slot(f"{scope}/weights", "HWIO")
            slots[f"features.{number}.bias"] = Slot(f"{scope}/biases")
    for module, scope in (("pre_logits.fc1", "fc6"), ("pre_logits.fc2", "fc7"), ("head.fc", "fc8")):
        slots[f"{module}.weight"] = Slot(f"{scope}/weights", "11IO" if scope == "fc8" else "HWIO")
        slots[f"{module}.bias"] = Slot(f"{scope}/biases")
    return NameTable(slots, anchor="fc8/weights", unused=_UNUSED)


def _timm() -> ModuleType:
    declare_missing_ops()
    try:
        import timm
    except ModuleNotFoundError as error:
        raise MissingExtraError("timm", extra="timm", needed_for="this model of the source slim:") from error
    return timm


def _without_scale(network: Any) -> nn.Module:
    """Fix the scale of every batch norm at one, so that it is neither counted nor looked for."""
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert part.eps == _EPSILON
            del part.weight
            part.register_buffer("weight", torch.ones(part.num_features))
    assert isinstance(network, nn.Module)
    return network


def _scales(network: nn.Module) -> frozenset[str]:
    return frozenset(
        f"{name}.weight" for name, part in network.named_modules() if isinstance(part, nn.BatchNorm2d)
    )


def _conv(module: str, scope: str) -> dict[str, Slot]:
    return {f"{module}.conv.weight": Slot(f"{scope}/weights", "HWIO")} | normed(
        f"{module}.bn", scope, scale=False
    )
