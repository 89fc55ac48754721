"""Super-resolution by four: a small residual dense network (Zhang et al., CVPR 2018).

Structure and names follow the graph in the package `@upscalerjs/esrgan-slim` (MIT), a Keras model converted
for TensorFlow.js; its weights are one file of float32 numbers, layer after layer in the order of their
names, kernels HWIO before biases.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from modelatlas.errors import ModelError

__all__ = ["SuperResolution", "super_resolution"]


class SuperResolution(nn.Module):
    """[N, 3, H, W] in 0..1 -> [N, 3, 4 H, 4 W] in 0..1; `FDF` is [N, 64, H, W]."""

    def __init__(self) -> None:
        super().__init__()
        self.F_m1 = nn.Conv2d(3, 64, 3, padding=1)
        self.F_0 = nn.Conv2d(64, 64, 3, padding=1)
        for block in (1, 2):
            self.add_module(f"F_{block}_1", nn.Conv2d(64, 4, 3, padding=1))
            self.add_module(f"LFF_{block}", nn.Conv2d(68, 64, 1))
        self.GFF_1 = nn.Conv2d(128, 64, 1)
        self.GFF_2 = nn.Conv2d(64, 64, 3, padding=1)
        self.FDF = nn.Identity()  # names the sum, which is the target layer
        self.UPN1 = nn.Conv2d(64, 64, 5, padding=2)
        self.UPN2 = nn.Conv2d(64, 32, 3, padding=1)
        self.UPN3 = nn.Conv2d(32, 48, 3, padding=1)
        self.UPsample = nn.Upsample(scale_factor=4, mode="nearest")
        self.SR = nn.Conv2d(48, 3, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Enlarge."""
        shallow = self.F_m1(images)
        x, blocks = self.F_0(shallow), []
        for block in (1, 2):
            dense = torch.relu(self.get_submodule(f"F_{block}_1")(x))
            x = x + self.get_submodule(f"LFF_{block}")(torch.cat([x, dense], dim=1))
            blocks.append(x)
        x = self.FDF(shallow + self.GFF_2(self.GFF_1(torch.cat(blocks, dim=1))))
        x = torch.relu(self.UPN2(torch.relu(self.UPN1(x))))
        return self.SR(self.UPsample(self.UPN3(x)))  # type: ignore[no-any-return]


def super_resolution(weights: Path | None) -> nn.Module:
    """Build the network, with the package's weights or fresh ones."""
    network = SuperResolution()
    if weights is None:
        return network
    numbers, at = np.fromfile(weights, dtype="<f4"), 0
    convolutions = {name: part for name, part in network.named_children() if isinstance(part, nn.Conv2d)}
    if len(numbers) != sum(parameter.numel() for parameter in network.parameters()):
        raise ModelError(
            "package:super-resolution", f"{weights} holds {len(numbers)} numbers; fetch it again"
        )
    with torch.no_grad():
        for _, convolution in sorted(convolutions.items()):
            out, channels, height, width = convolution.weight.shape
            kernel = numbers[at : at + convolution.weight.numel()].reshape(height, width, channels, out)
            convolution.weight.copy_(torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()))
            at += kernel.size
            assert convolution.bias is not None
            convolution.bias.copy_(torch.from_numpy(numbers[at : at + out].copy()))
            at += out
    return network
