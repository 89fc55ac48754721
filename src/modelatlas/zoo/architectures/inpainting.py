"""Generative inpainting with contextual attention, version 1 (Yu et al., CVPR 2018).

Two stages: a coarse filling, then one branch of dilated convolutions and one of contextual attention over the
coarse result, joined. All convolutions are SAME with bias and ELU, nothing is normed. The hole is the centred
rectangle of half the height and half the width unless told otherwise: the paper does not publish its own.
The input is the picture with zeros in the hole; ones and the mask are added as channels.
"""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelatlas.zoo.architectures.aligned import resize_nearest_aligned
from modelatlas.zoo.architectures.contextual_attention import ContextualAttention
from modelatlas.zoo.architectures.same import SameConv2d
from modelatlas.zoo.checkpoints import NameTable, Slot

__all__ = ["Inpainting", "hole", "inpainting_names"]

Stage = dict[str, tuple[int, dict[str, int]]]

_INPUT: Final = 5
# channels after the convolution, then kernel, stride or dilation where they are not 3, 1, 1
_DILATED: Final[Stage] = {f"conv{7 + i}_atrous": (128, {"dilation": 2 << i}) for i in range(4)}
_COARSE: Final[Stage] = {
    "conv1": (32, {"kernel": 5}), "conv2_downsample": (64, {"stride": 2}), "conv3": (64, {}),
    "conv4_downsample": (128, {"stride": 2}), "conv5": (128, {}), "conv6": (128, {}), **_DILATED,
    "conv11": (128, {}), "conv12": (128, {}), "conv13_upsample": (64, {}), "conv14": (64, {}),
    "conv15_upsample": (32, {}), "conv16": (16, {}), "conv17": (3, {}),
}  # fmt: skip
_HALLUCINATED: Final[Stage] = {
    "xconv1": (32, {"kernel": 5}), "xconv2_downsample": (32, {"stride": 2}), "xconv3": (64, {}),
    "xconv4_downsample": (64, {"stride": 2}), "xconv5": (128, {}), "xconv6": (128, {}),
    **{f"x{name}": options for name, options in _DILATED.items()},
}  # fmt: skip
_ATTENDED: Final[Stage] = {
    "pmconv1": (32, {"kernel": 5}), "pmconv2_downsample": (32, {"stride": 2}), "pmconv3": (64, {}),
    "pmconv4_downsample": (128, {"stride": 2}), "pmconv5": (128, {}), "pmconv6": (128, {}),
}  # fmt: skip
_AFTER_ATTENTION: Final[Stage] = {"pmconv9": (128, {}), "pmconv10": (128, {})}
_JOINED: Final[Stage] = {
    "allconv11": (128, {}), "allconv12": (128, {}), "allconv13_upsample": (64, {}), "allconv14": (64, {}),
    "allconv15_upsample": (32, {}), "allconv16": (16, {}), "allconv17": (3, {}),
}  # fmt: skip
_LINEAR: Final = ("conv17", "allconv17")
_RECTIFIED: Final = ("pmconv6",)


class Inpainting(nn.Module):
    """Pictures [N, 3, H, W], -1 to 1 with zeros in the hole -> filled ones; H and W are multiples of 8.

    Parameters
    ----------
    share
        Height and width of the hole, as a share of the picture's, 0 to 1.
    """

    def __init__(self, *, share: float = 0.5) -> None:
        super().__init__()
        self.share = share
        for channels, stage in (
            (_INPUT, _COARSE),
            (_INPUT, _HALLUCINATED),
            (_INPUT, _ATTENDED),
            (128, _AFTER_ATTENTION),
            (256, _JOINED),
        ):
            _add_stage(self, channels, stage)
        self.attention = ContextualAttention()

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        mask = hole(images, self.share)
        coarse = self._run(_COARSE, _with_mask(images, mask)).clamp(-1, 1)
        filled = _with_mask(coarse * mask + images * (1 - mask), mask)
        hallucinated = self._run(_HALLUCINATED, filled)
        features = self._run(_ATTENDED, filled)
        attended = self.attention(features, resize_nearest_aligned(mask, *features.shape[-2:]))
        attended = self._run(_AFTER_ATTENTION, attended)
        return self._run(_JOINED, torch.cat((hallucinated, attended), 1)).clamp(-1, 1)

    def _run(self, stage: Stage, x: Tensor) -> Tensor:
        for name in stage:
            x = self.get_submodule(name)(x)
        return x


class Convolution(nn.Module):
    """SAME convolution with bias and its activation, after a doubling of the picture where it upsamples."""

    def __init__(
        self, name: str, channels_in: int, channels_out: int, *, kernel: int = 3, **options: int
    ) -> None:
        super().__init__()
        self.doubles = name.endswith("_upsample")
        self.conv = SameConv2d(channels_in, channels_out, kernel, **options)
        self.act: nn.Module = nn.ELU()
        if name in _LINEAR:
            self.act = nn.Identity()
        elif name in _RECTIFIED:
            self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        if self.doubles:
            height, width = x.shape[-2:]
            x = resize_nearest_aligned(x, 2 * height, 2 * width)
        return self.act(self.conv(x))  # type: ignore[no-any-return]


def _add_stage(module: nn.Module, channels: int, stage: Stage) -> None:
    for name, (wider, options) in stage.items():
        module.add_module(name, Convolution(name, channels, wider, **options))
        channels = wider


def hole(images: Tensor, share: float) -> Tensor:
    """Mask [1, 1, H, W]: ones in a centred rectangle, zeros around it."""
    height, width = images.shape[-2:]
    rows, columns = round(height * share), round(width * share)
    mask = torch.ones(1, 1, rows, columns, dtype=images.dtype, device=images.device)
    top, left = (height - rows) // 2, (width - columns) // 2
    return F.pad(mask, (left, width - columns - left, top, height - rows - top))


def _with_mask(images: Tensor, mask: Tensor) -> Tensor:
    ones = torch.ones_like(images[:, :1])
    return torch.cat((images, ones, ones * mask), 1)


def inpainting_names() -> NameTable:
    """Names in the authors' checkpoints, below `inpaint_net/`."""
    slots = {}
    for stage in (_COARSE, _HALLUCINATED, _ATTENDED, _AFTER_ATTENTION, _JOINED):
        for name in stage:
            path = f"{name}/{name}_conv" if name.endswith("_upsample") else name
            slots[f"{name}.conv.weight"] = Slot(f"{path}/kernel", "HWIO")
            slots[f"{name}.conv.bias"] = Slot(f"{path}/bias")
    return NameTable(slots=slots, anchor="allconv12/kernel", unused=(r"discriminator",))
