"""From the bytes of any still picture to its centre square, RGB, 8 bits a channel.

Everything is turned to eight-bit RGB, as those who trained the models did it:

- the picture is set upright (EXIF orientation), then the largest centred square is cut, at native resolution;
- transparency (alpha channels, transparent palette entries or colours) is laid over white;
- of several frames or pages the first counts; of an icon file's sizes the largest;
- 16-bit grey is divided by 257. Grey of 32 bits or of floating point states no range: values in [0, 1] are
  multiplied by 255 (floating point only), values in [0, 255] are kept, integers up to 65535 count as 16 bits,
  and anything else is stretched from its least to its greatest value in the square;
- embedded colour profiles are not applied and CMYK is converted by Pillow's own formula: the usual training
  pipelines decode so, and the result does not depend on a colour engine's version.

Nothing here is trusted: a picture is refused for its size before it is decoded, formats that start other
programs (EPS) are not opened at all, and whatever a decoder raises becomes a reason.
"""

import io
import warnings
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Final

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from modelatlas.errors import ProbeError

__all__ = ["MAX_BYTES", "MAX_PIXELS", "Picture", "decode", "image_suffixes", "unread_suffixes"]

MAX_PIXELS: Final = 1 << 27
"""Pixels of the largest picture that is decoded (134 megapixels, 0.5 GB while it is decoded)."""

MAX_BYTES: Final = 1 << 30
"""Bytes of the largest file that is read."""

# Not still pictures, or read by starting another program, or only recognised and never decoded.
_NOT_STILLS: Final = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PALM", "PDF", "WMF", "XVTHUMB"})
_UNREAD: Final = frozenset({
    ".3fr", ".arw", ".cr2", ".cr3", ".dng", ".emf", ".eps", ".exr", ".hdr", ".heic", ".heif", ".jxl", ".jxr",
    ".nef", ".orf", ".palm", ".raf", ".raw", ".rw2", ".svg", ".svgz", ".wdp", ".wmf", ".xcf",
})  # fmt: skip


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture: its centre square, and how large the whole of it is, upright.

    Attributes
    ----------
    square
        RGB, 0..255; side = min(width, height).
    width, height
        Pixels.
    """

    square: UInt8[np.ndarray, "side side 3"]
    width: int
    height: int


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(sorted(set(Image.OPEN) - _NOT_STILLS))


@cache
def image_suffixes() -> frozenset[str]:
    """File extensions, in lower case with their dot, of the still pictures that this Pillow reads."""
    return frozenset(
        suffix for suffix, kind in Image.registered_extensions().items() if kind in {*_formats(), "MPO"}
    )


def unread_suffixes() -> frozenset[str]:
    """Extensions of pictures that cannot be read here: camera raw, vector graphics, HEIC and such."""
    return _UNREAD - image_suffixes()


class _PillowWarningsIgnored:
    """Keeps Pillow's warnings (odd metadata, large pictures) off the screen while any thread decodes.

    `warnings.catch_warnings` would put back a whole list of filters, which several threads must not do at
    once; this adds one filter when the first thread enters and takes just that one away when the last has
    left.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                warnings.filterwarnings("ignore", module=r"PIL\.")
                self._filter = warnings.filters[0]
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._filter in warnings.filters:
                warnings.filters.remove(self._filter)  # type: ignore[attr-defined]


_pillow_warnings_ignored: Final = _PillowWarningsIgnored()


def decode(data: bytes, *, name: str) -> Picture:
    """Decode a picture and cut its centre square.

    Parameters
    ----------
    data
        The file's bytes. What they hold decides, not the file's extension.
    name
        What an error calls the picture.

    Raises
    ------
    ProbeError
        Empty, no picture of a known kind, over `MAX_PIXELS`, truncated or damaged, or holding NaN or
        infinities.
    """
    if not data:
        raise ProbeError(name, "the file is empty")
    try:
        with _pillow_warnings_ignored, Image.open(io.BytesIO(data), formats=_formats()) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ProbeError(name, _too_large(image.width, image.height))
            image.load()
            upright = _upright(image)
            return Picture(_eight_bit_rgb(_centre(upright), name), upright.width, upright.height)
    except ProbeError:
        raise
    except UnidentifiedImageError as error:
        raise ProbeError(name, "not a picture of a kind that Pillow reads, whatever its name says") from error
    except Image.DecompressionBombError as error:
        raise ProbeError(name, _too_large(None, None)) from error
    except Exception as error:
        # Fed with damaged bytes a decoder raises nearly anything: OSError, SyntaxError, struct.error ...
        what = " ".join(str(error).split()) or type(error).__name__
        raise ProbeError(name, f"truncated or damaged, it cannot be decoded ({what})") from error


def _too_large(width: int | None, height: int | None) -> str:
    size = "" if width is None else f" ({width} x {height} pixels)"
    return f"larger than {MAX_PIXELS / 1e6:.0f} megapixels{size}, refused before decoding: shrink it"


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image  # damaged metadata beside sound pixels: as every viewer, take it as it lies


def _centre(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _eight_bit_rgb(image: Image.Image, name: str) -> UInt8[np.ndarray, "side side 3"]:
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        grey = _eight_bit_grey(np.asarray(image), name)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode == "LAB":
        to_rgb = ImageCms.buildTransform(
            ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
        )
        converted = ImageCms.applyTransform(image, to_rgb)
        assert converted is not None
        image = converted
    elif image.has_transparency_data:
        image = _over_white(image)
    return np.array(image.convert("RGB"), dtype=np.uint8)


def _over_white(image: Image.Image) -> Image.Image:
    if image.mode == "La":
        image = image.convert("LA")
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)


def _eight_bit_grey(values: np.ndarray, name: str) -> UInt8[np.ndarray, "side side"]:
    if not np.isfinite(values).all():
        raise ProbeError(name, "holds NaN or infinite values")
    integer = values.dtype.kind in "iub"
    exact = values.astype(np.float64)
    low, high = exact.min(), exact.max()
    if values.dtype.itemsize == 2 or (integer and low >= 0 and 255 < high <= 65535):
        exact /= 257.0
    elif not integer and low >= 0 and high <= 1:
        exact *= 255.0
    elif low < 0 or high > 255:
        exact = (exact - low) * 255.0 / (high - low) if high > low else np.zeros_like(exact)
    return np.rint(exact).astype(np.uint8)
