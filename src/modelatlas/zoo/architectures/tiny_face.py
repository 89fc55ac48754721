"""The tiny face detector (Hu and Ramanan, CVPR 2017): a ResNet-101 without its last block, two score layers.

MatConvNet's network. Its third block shrinks at its beginning, in 1 x 1 convolutions of stride 2, which read
every second position; so every second position is what the block is given here, and the scores of the second
block can be read where it is not shrunk. Files: the authors' `.mat`, or the pickle that a TensorFlow port
makes of it. Both keep of each batch norm the root of the variance with the file's epsilon inside; the port
takes that epsilon out again and adds its own, 1e-5, and so is done here.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from torch import Tensor, nn

from modelatlas.zoo.architectures.bottleneck_resnet import ResNetPlan, ResNetTrunk
from modelatlas.zoo.architectures.caffe_names import caffe_slots
from modelatlas.zoo.checkpoints import Checkpoint, NameTable, Slot, StoredArray

__all__ = ["TinyFace", "mean_colour", "tiny_face_names", "with_variances"]

_PLAN: Final = ResNetPlan(units=(3, 4, 23), strides=(2, 1, 1))
_SCORES: Final = 125  # 25 templates: a score and four numbers of a box each
_NORM: Final = {"weight": "scale", "bias": "offset", "running_mean": "mean", "running_var": "variance"}
_COLOURS: Final = 3
_EPSILON: Final = 1e-5  # MatConvNet's own, where a file states none


class TinyFace(nn.Module):
    """[N, 3, H, W], 0 to 255 less the mean colour -> scores [N, 125, H/8 - 1, W/8 - 1].

    `res4b22` is [N, 1024, H/16, W/16].
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = ResNetTrunk(_PLAN)
        self.res4b22 = nn.Identity()  # what the paper reads: the end of the trunk
        self.score_res3 = nn.Conv2d(512, _SCORES, 1)
        self.score_res4 = nn.Conv2d(1024, _SCORES, 1)
        self.score4 = nn.ConvTranspose2d(_SCORES, _SCORES, 4, stride=2, bias=False)

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        fine: Tensor = images
        for part in ("conv1", "pool1", "block1", "block2"):
            fine = self.trunk.get_submodule(part)(fine)
        coarse: Tensor = self.res4b22(self.trunk.get_submodule("block3")(fine[..., ::2, ::2]))
        scores: Tensor = self.score4(self.score_res4(coarse))
        height, width = (2 * size - 1 for size in coarse.shape[-2:])
        fine_scores: Tensor = self.score_res3(fine)
        return scores[..., 1 : height + 1, 1 : width + 1] + fine_scores[..., :height, :width]


def tiny_face_names(network: TinyFace) -> NameTable:
    """Names in a checkpoint after `with_variances`."""
    slots = caffe_slots(
        network.trunk,
        "trunk.",
        unit=lambda block, number: (
            f"{block + 1}{'abc'[number - 1]}"
            if block == 1
            else f"{block + 1}{f'b{number - 1}' if number > 1 else 'a'}"
        ),
        kernel=lambda conv: f"{conv}_filter",
        norm=lambda norm, array: f"{norm}_{_NORM[array]}",
    )
    for name in ("score_res3", "score_res4"):
        slots |= {f"{name}.weight": Slot(f"{name}_filter", "HWIO"), f"{name}.bias": Slot(f"{name}_bias")}
    slots["score4.weight"] = Slot("score4_filter", "HWIO")
    return NameTable(
        slots=slots,
        anchor="score_res4_filter",
        unused=(
            r"(1/)?(clusters|average_image|score4f)$",
            r"(1/)?bn\w+_(mult|bias|moments)$",
            r"0/",
            r"meta/",
            r".*/epsilon$",
        ),
    )


def with_variances(checkpoint: Checkpoint) -> Checkpoint:
    """Give the arrays of a `.mat` file the names and forms of the port's pickle; a pickle stays as it is."""
    if checkpoint.format != "matconvnet":
        return checkpoint
    arrays = dict(checkpoint.arrays)
    for name in checkpoint.arrays:
        if name.endswith("_moments"):
            arrays |= _norm_of(checkpoint.arrays, name.removesuffix("_moments"))
        elif name in ("score_res3_bias", "score_res4_bias"):
            arrays[name] = _flat(checkpoint.arrays[name])
    if "score4f" in arrays:
        arrays["score4_filter"] = arrays["score4f"]
    return replace(checkpoint, arrays=arrays)


def mean_colour(checkpoint: Checkpoint) -> tuple[float, ...] | None:
    """Mean colour of the training pictures, RGB, 0 to 255, which either file keeps; None: it is not in it."""
    for name, stored in checkpoint.arrays.items():
        if name.lower().replace("_", "").endswith("averageimage") and np.prod(stored.shape) == _COLOURS:
            return tuple(float(value) for value in stored.read().ravel())
    return None


def _norm_of(arrays: Mapping[str, StoredArray], name: str) -> dict[str, StoredArray]:
    moments = arrays[f"{name}_moments"]
    channels = moments.shape[:1]

    def mean() -> np.ndarray[Any, Any]:
        return moments.read()[:, 0]

    def variance() -> np.ndarray[Any, Any]:
        stated = arrays.get(f"{name}/epsilon")
        epsilon = _EPSILON if stated is None else float(stated.read().ravel()[0])
        return moments.read()[:, 1] ** 2 - np.float32(epsilon)

    return {
        f"{name}_scale": _flat(arrays[f"{name}_mult"]),
        f"{name}_offset": _flat(arrays[f"{name}_bias"]),
        f"{name}_mean": StoredArray(channels, mean),
        f"{name}_variance": StoredArray(channels, variance),
    }


def _flat(stored: StoredArray) -> StoredArray:
    return StoredArray((int(np.prod(stored.shape)),), lambda: stored.read().ravel())
