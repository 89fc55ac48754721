"""Where Caffe's names put the tensors of a bottleneck ResNet: `res4b_branch2a`, `bn4b_branch2a` and so on."""

from collections.abc import Callable

from modelatlas.zoo.architectures.bottleneck_resnet import ResNetTrunk
from modelatlas.zoo.checkpoints import Slot

__all__ = ["caffe_slots"]


def caffe_slots(
    trunk: ResNetTrunk,
    module: str,
    *,
    unit: Callable[[int, int], str],
    kernel: Callable[[str], str],
    norm: Callable[[str, str], str],
) -> dict[str, Slot]:
    """Slots of a trunk, without a bias of its first convolution.

    Parameters
    ----------
    module
        What stands before the trunk's tensors in the network's state dict.
    unit
        Name of a unit: block and unit, from 1, to `2a` and so on.
    kernel
        Name of a convolution's kernel, given the convolution's.
    norm
        Name of a norm's array, given the norm's name and the array's in torch (`running_mean`, ...).
    """
    pairs = [("conv1", "conv1", "bn_conv1")]
    for block, units in enumerate(trunk.plan.units, start=1):
        for number in range(1, units + 1):
            ours, theirs = f"block{block}.unit_{number}", unit(block, number)
            branches = {"conv1": "branch2a", "conv2": "branch2b", "conv3": "branch2c"}
            if number == 1:
                branches["shortcut"] = "branch1"
            for part, branch in branches.items():
                pairs.append((f"{ours}.{part}", f"res{theirs}_{branch}", f"bn{theirs}_{branch}"))
    slots = {}
    for ours, conv, bn in pairs:
        slots[f"{module}{ours}.conv.weight"] = Slot(kernel(conv), "HWIO")
        for array in ("weight", "bias", "running_mean", "running_var"):
            slots[f"{module}{ours}.norm.{array}"] = Slot(norm(bn, array))
    return slots
