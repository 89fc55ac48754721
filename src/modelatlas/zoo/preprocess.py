"""From a probe image's centre square to a network's input (method.md, "From maps to affinity", step 1).

    c = clip(u / 255),    v = range[0] + (range[1] - range[0]) * c,    x = (v - mean) / std,

with u in 0..255 after the resize.

The resize is Pillow's bilinear filter, whose support grows with the shrinking factor (so it averages
areas, it does not skip pixels); an input that is not square stretches the square. A source's crop
fraction is not used: every model sees the same field of view.

L* is CIE 1976 lightness of sRGB (IEC 61966-2-1), from 0 to 100, taken as u / 255 = L* / 100.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from modelatlas.errors import InputError

__all__ = ["ONE_CHANNEL", "ChannelOrder", "Preprocess"]

ChannelOrder = Literal["RGB", "BGR", "L", "L*"]
ONE_CHANNEL = ("L", "L*")

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
        RGB, BGR, or one channel: L, luma (ITU-R 601), or L*, lightness (CIE 1976).
    clip
        Limits that u / 255 is brought into before anything else.
    hole
        Side of a square in the middle that is set to 0 in the end, as a share of the picture's; 0: none.
    """

    height: int = 224
    width: int = 224
    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    channel_order: ChannelOrder = "RGB"
    clip: tuple[float, float] = (0.0, 1.0)
    hole: float = 0.0

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
        if not 0 <= self.clip[0] < self.clip[1] <= 1 or not 0 <= self.hole < 1:
            raise InputError(f"clip {self.clip} must lie in 0..1 and hole {self.hole} in 0..1 (1 left out)")

    @property
    def channels(self) -> int:
        """Number of input channels: 3, or 1 for luma and lightness."""
        return 1 if self.channel_order in ONE_CHANNEL else 3

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
        shares = np.asarray(image, dtype=np.float32).reshape(self.height, self.width, -1) / np.float32(255)
        if self.channel_order == "BGR":
            shares = shares[..., ::-1]
        if self.channel_order == "L*":
            shares = _lightness(shares)
        low, high = self.range
        values = low + (high - low) * np.clip(shares, np.float32(self.clip[0]), np.float32(self.clip[1]))
        scaled = (values - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        rows, columns = (_middle(size, self.hole) for size in (self.height, self.width))
        scaled[rows, columns] = 0
        return np.ascontiguousarray(scaled.transpose(2, 0, 1), dtype=np.float32)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, `channels` included, for cards, `atlas.json` and `zoo show --json`.

        `clip` and `hole` only where they do something: atlases made before there were any go on.
        """
        plain = {"height": self.height, "width": self.width, "channels": self.channels} | asdict(self)
        unused = {field.name for field in fields(self) if getattr(self, field.name) == field.default}
        return {key: value for key, value in plain.items() if key not in {"clip", "hole"} & unused}


def _lightness(shares: Float32[np.ndarray, "row column 3"]) -> Float32[np.ndarray, "row column 1"]:
    """L* / 100 of sRGB in 0..1: linear light, its luminance Y against white, CIE's cube root.

    In float64, since powers in float32 differ in their last bit between processors.
    """
    shares = shares.astype(np.float64)
    linear = np.where(shares > 0.04045, ((shares + 0.055) / 1.055) ** 2.4, shares / 12.92)
    luminance = linear @ np.array([0.212671, 0.715160, 0.072169])
    cubic = np.where(luminance > 0.008856, np.cbrt(luminance), 7.787 * luminance + 16 / 116)
    return ((116 * cubic - 16) / 100)[..., None].astype(np.float32)  # type: ignore[no-any-return]


def _middle(size: int, share: float) -> slice:
    side = round(size * share)
    return slice((size - side) // 2, (size - side) // 2 + side)
