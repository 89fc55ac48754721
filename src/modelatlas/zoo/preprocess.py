"""From a probe image's centre square to a network's input (method.md, "From maps to affinity", step 1).

    v = range[0] + (range[1] - range[0]) * u / 255,    x = (v - mean) / std,    u in 0..255 after the resize

The resize is Pillow's bilinear filter, whose support grows with the shrinking factor (so it averages
areas, it does not skip pixels); an input that is not square stretches the square. A source's crop
fraction is not used: every model sees the same field of view.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from modelatlas.errors import InputError

__all__ = ["ChannelOrder", "Preprocess"]

ChannelOrder = Literal["RGB", "BGR", "L"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocess:
    """What a network expects at its input.

    Attributes
    ----------
    height, width
        Input size in pixels.
    range
        Values that black (0) and white (255) are mapped to, before mean and std.
    mean, std
        One number a channel, in the network's channel order, in units of `range`.
    channel_order
        RGB, BGR, or L: one channel of luma (ITU-R 601).
    """

    height: int = 224
    width: int = 224
    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    channel_order: ChannelOrder = "RGB"

    def __post_init__(self) -> None:
        """Refuse what no network can take."""
        if self.channel_order not in get_args(ChannelOrder):
            raise InputError(
                f"channel_order is {self.channel_order!r}; it must be one of {get_args(ChannelOrder)}"
            )
        if self.height < 1 or self.width < 1:
            raise InputError(
                f"an input of {self.height} x {self.width} pixels has no area; both must be at least 1"
            )
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise InputError(
                f"mean and std must have {self.channels} numbers for {self.channel_order}, "
                f"not {len(self.mean)} and {len(self.std)}"
            )
        if not all(deviation > 0 for deviation in self.std):
            raise InputError(f"every std must be above 0, not {self.std}")

    @property
    def channels(self) -> int:
        """Number of input channels: 3, or 1 for luma."""
        return 1 if self.channel_order == "L" else 3

    def tensor(self, square: UInt8[np.ndarray, "side side 3"]) -> Float32[np.ndarray, "channel height width"]:
        """Network input of one probe image.

        Parameters
        ----------
        square
            The image's centre square, RGB, 0..255.

        Returns
        -------
            In units of the network's input.
        """
        image = Image.fromarray(square)
        if self.channel_order == "L":
            image = image.convert("L")
        image = image.resize((self.width, self.height), Image.Resampling.BILINEAR)
        pixels = np.asarray(image, dtype=np.float32).reshape(self.height, self.width, self.channels)
        if self.channel_order == "BGR":
            pixels = pixels[..., ::-1]
        low, high = self.range
        values = low + (high - low) * (pixels / np.float32(255))
        scaled = (values - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        return np.ascontiguousarray(scaled.transpose(2, 0, 1), dtype=np.float32)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, `channels` included, for cards, `atlas.json` and `zoo show --json`."""
        return {"height": self.height, "width": self.width, "channels": self.channels} | asdict(self)
