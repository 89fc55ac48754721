"""TensorFlow's SAME padding, which torch has no name for.

    out = ceil(n / s),    total = max((out - 1) * s + (k - 1) * d + 1 - n, 0)

of which the smaller half goes before, the larger after: with stride 2, a kernel of 3 and even n nothing
before and one after. A convolution pads with zeros, a max pool with nothing (minus infinity). Source:
tensorflow.org, `tf.nn`, "Notes on padding".
"""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["SameConv2d", "SameMaxPool2d", "same_padding"]


def same_padding(size: int, *, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Tell the padding before and after one axis of `size` pixels."""
    reach = (kernel - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


class SameConv2d(nn.Conv2d):
    """A convolution with SAME padding at any input size; takes what `nn.Conv2d` takes, but no padding."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, **options: Any) -> None:
        super().__init__(channels_in, channels_out, kernel, **options)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        (top, bottom), (left, right) = (
            same_padding(
                x.shape[axis - 2],
                kernel=self.kernel_size[axis],
                stride=self.stride[axis],
                dilation=self.dilation[axis],
            )
            for axis in (0, 1)
        )
        if (top, left) == (bottom, right):
            padding = (top, left)
        else:
            x, padding = F.pad(x, (left, right, top, bottom)), (0, 0)
        return F.conv2d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class SameMaxPool2d(nn.Module):
    """A max pool with SAME padding.

    torch pads both sides alike, and one more after where `ceil_mode` asks for a last, partial window: that is
    the larger half. At stride 1 there is no partial window, so an even kernel is refused.
    """

    def __init__(self, kernel: int, *, stride: int) -> None:
        super().__init__()
        if stride == 1 and kernel % 2 == 0:
            raise ValueError(f"a max pool of kernel {kernel} and stride 1 cannot be padded so")
        self.kernel = kernel
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        before = [same_padding(size, kernel=self.kernel, stride=self.stride)[0] for size in x.shape[-2:]]
        return F.max_pool2d(x, self.kernel, self.stride, padding=before, ceil_mode=True)
