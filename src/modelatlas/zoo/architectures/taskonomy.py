"""The encoder that Taskonomy's twenty single-image tasks share (Zamir et al., CVPR 2018, supplement).

A ResNet-50 that stops shrinking after its second block, so that a picture of 256 x 256 gives 16 x 16 x 2048,
and a 3 x 3 convolution to the code of 16 x 16 x 8, with batch norm and ReLU. Two files keep its weights: the
authors' TensorFlow checkpoints, and PyTorch files that the same group converted. The PyTorch class of that
conversion norms the code by default (a group norm of one channel a group), after which every channel sums to
zero and no attribution is left; here it is not normed, as in the TensorFlow graph.
"""

from typing import Final

from torch import Tensor, nn

from modelatlas.zoo.architectures.bottleneck_resnet import PLANS, ResNetTrunk
from modelatlas.zoo.architectures.layers import NormedConv, normed_conv_slots
from modelatlas.zoo.checkpoints import NameTable, Slot

__all__ = ["CODE_CHANNELS", "TaskonomyEncoder", "pytorch_names", "tensorflow_names"]

CODE_CHANNELS: Final = 8

_BATCH_NORM: Final = ("weight", "bias", "running_mean", "running_var")
# what the authors' graphs hold beside the encoder: decoders, discriminators, the heads of vector tasks
_OTHER_PARTS: Final = (
    r"(feedforward/)?(decoder|discriminator\w*|three_layer_fc_network)/",
    r"(feedforward/)?(instance_noise|losses|metrics|training)/",
)


class TaskonomyEncoder(nn.Module):
    """[N, 3, 256, 256] (colorization: one channel) -> the code [N, 8, 16, 16]."""

    def __init__(self, *, channels: int = 3) -> None:
        super().__init__()
        plan = PLANS["taskonomy"]
        self.encoder = ResNetTrunk(plan, channels=channels)
        self.compress1 = NormedConv(self.encoder.channels_out, CODE_CHANNELS, 3, epsilon=plan.epsilon)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the code; the target of the attribution is the output of `compress1`."""
        return self.compress1(self.encoder(images))  # type: ignore[no-any-return]


def tensorflow_names(encoder: TaskonomyEncoder) -> NameTable:
    """Names in the authors' checkpoints; those of vector tasks keep everything below `feedforward/`."""
    slots = encoder.encoder.slim_slots("encoder.", "encoder/")
    slots |= normed_conv_slots("compress1", "compress1")
    return NameTable(slots=slots, anchor="compress1/weights", unused=_OTHER_PARTS)


def pytorch_names(encoder: TaskonomyEncoder) -> NameTable:
    """Names in the PyTorch conversions, which are torchvision's for a ResNet."""
    slots = _pytorch_conv("encoder.conv1", "conv1", "bn1")
    for block, units in enumerate(encoder.encoder.plan.units, start=1):
        for unit in range(units):
            ours, theirs = f"encoder.block{block}.unit_{unit + 1}", f"layer{block}.{unit}"
            if unit == 0:
                slots |= _pytorch_conv(f"{ours}.shortcut", f"{theirs}.downsample.0", f"{theirs}.downsample.1")
            for conv in (1, 2, 3):
                slots |= _pytorch_conv(f"{ours}.conv{conv}", f"{theirs}.conv{conv}", f"{theirs}.bn{conv}")
    slots |= _pytorch_conv("compress1", "compress1", "compress_bn")
    return NameTable(slots=slots, anchor="compress1.weight")


def _pytorch_conv(ours: str, conv: str, norm: str) -> dict[str, Slot]:
    return {f"{ours}.conv.weight": Slot(f"{conv}.weight")} | {
        f"{ours}.norm.{part}": Slot(f"{norm}.{part}") for part in _BATCH_NORM
    }
