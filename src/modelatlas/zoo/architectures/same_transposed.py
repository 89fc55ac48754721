"""Transposed convolutions as TensorFlow crops them.

`conv2d_transpose` with SAME padding is the gradient of a SAME convolution from s * n to n pixels: of the full
result, (n - 1) * s + k pixels, it drops what that convolution would have padded before, and keeps s * n.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from modelatlas.zoo.architectures.same import same_padding

__all__ = ["SameConvTranspose2d"]


class SameConvTranspose2d(nn.ConvTranspose2d):
    """[N, C, H, W] -> [N, channels_out, stride * H, stride * W]; the kernel is at least the stride."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, *, stride: int, bias: bool = True
    ) -> None:
        super().__init__(channels_in, channels_out, kernel, stride, bias=bias)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Convolve and crop; the output's size follows from the input's."""
        height, width = (size * self.stride[0] for size in x.shape[-2:])
        top, left = (
            same_padding(size, kernel=self.kernel_size[0], stride=self.stride[0])[0]
            for size in (height, width)
        )
        full = F.conv_transpose2d(x, self.weight, self.bias, self.stride)
        return full[..., top : top + height, left : left + width]
