"""Pixels of every kind of picture.

References that nothing here shares code with: the pixels that went into a file, where the file was written by
`oracles.png` (a literal PNG writer), by tifffile, or by hand (PPM); the EXIF standard's table of
orientations; the formulas of alpha blending and of CMYK. For lossy kinds: Pillow's own decoding of the whole.
"""

import io
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile

from modelatlas.errors import ProbeError
from modelatlas.probe import decode as module
from modelatlas.probe.decode import MAX_PIXELS, decode, image_suffixes, unread_suffixes
from oracles.png import GREY, GREY_ALPHA, PALETTE, RGB, RGBA, chunk, header, png


def noise(*shape, high=256, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, high, shape).astype(dtype)


def scene(side=64, seed=0):
    """A smooth RGB picture, which every lossy coder can keep."""
    return np.asarray(
        Image.fromarray(noise(4, 4, 3, seed=seed)).resize((side, side), Image.Resampling.BICUBIC)
    )


def grey(values):
    return np.repeat(np.asarray(values)[..., None], 3, axis=2)


def square(data):
    return decode(data, name="it").square


def attempt(data):
    """The picture, or the error that it gave; any other exception is a failure."""
    try:
        return decode(data, name="it"), None
    except ProbeError as trouble:
        return None, trouble


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def tiff(array, **options):
    out = io.BytesIO()
    tifffile.imwrite(out, array, **options)
    return out.getvalue()


def ppm(array):
    return b"P6\n%d %d\n255\n" % (array.shape[1], array.shape[0]) + array.tobytes()


@given(width=st.integers(1, 40), height=st.integers(1, 40))
def test_the_square_is_the_largest_centred_one(width, height):
    pixels = noise(height, width, 3)
    picture = decode(ppm(pixels), name="it")
    side = min(width, height)
    top, left = (height - side) // 2, (width - side) // 2
    assert (picture.width, picture.height) == (width, height)
    assert picture.square.dtype == np.uint8
    np.testing.assert_array_equal(picture.square, pixels[top : top + side, left : left + side])
    # What is cut away on the two sides differs by a pixel at most.
    assert abs((width - side - left) - left) <= 1
    assert abs((height - side - top) - top) <= 1


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_grey_of_few_bits_spans_black_to_white(depth):
    top = 2**depth - 1
    values = noise(9, 9, 1, high=top + 1)
    expected = grey(np.rint(values[..., 0] * (255 / top)).astype(np.uint8))
    np.testing.assert_array_equal(square(png(values, kind=GREY, depth=depth)), expected)


def sixteen_bits(values):
    return np.rint(values.astype(np.float64) / 257).astype(np.uint8)


def test_sixteen_bit_grey_is_scaled_not_clipped():
    values = noise(64, 64, 1, high=65536, dtype=np.uint16)
    np.testing.assert_array_equal(
        square(png(values, kind=GREY, depth=16)), grey(sixteen_bits(values[..., 0]))
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_sixteen_bit_tiff_of_either_byte_order(order, compression):
    values = noise(32, 32, high=65536, dtype=np.uint16)
    data = tiff(values, byteorder=order, compression=compression)
    np.testing.assert_array_equal(square(data), grey(sixteen_bits(values)))


def test_sixteen_bit_colour_keeps_its_high_bytes():
    values = noise(16, 16, 3, high=65536, dtype=np.uint16)
    for data in (png(values, kind=RGB, depth=16), tiff(values, photometric="rgb")):
        assert np.abs(square(data).astype(int) - values / 257).max() <= 1


def test_sixteen_bit_pgm():
    values = noise(16, 16, high=65536, dtype=np.uint16)
    data = b"P5\n16 16\n65535\n" + values.astype(">u2").tobytes()
    np.testing.assert_array_equal(square(data), grey(sixteen_bits(values)))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 0.5], [0.25, 1]], np.float32), [[0, 128], [64, 255]]),
        (np.array([[0, 17], [200, 255]], np.float32), [[0, 17], [200, 255]]),
        (np.array([[-1, 0], [1, 3]], np.float32), [[0, 64], [128, 255]]),
        (np.array([[0, 1000], [500, 250]], np.float32), [[0, 255], [128, 64]]),
        (np.array([[7, 300], [9, 65535]], np.int32), [[0, 1], [0, 255]]),
        (np.array([[-100, 0], [50, 100]], np.int32), [[0, 128], [191, 255]]),
        (np.array([[0, 1], [1, 0]], np.int32), [[0, 1], [1, 0]]),
        (np.array([[1000, 1000], [1000, 1000]], np.float32), [[0, 0], [0, 0]]),
    ],
    ids=["unit", "bytes", "negative", "large", "sixteen", "signed", "bits", "constant"],
)
def test_grey_without_a_stated_range(values, expected):
    np.testing.assert_array_equal(square(tiff(values)), grey(np.array(expected, np.uint8)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_float_picture_with_holes_is_refused(bad):
    values = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
    values[2, 1] = bad
    with pytest.raises(ProbeError, match="it: holds NaN or infinite values"):
        square(tiff(values))


def over_white(colour, alpha):
    return colour * (alpha / 255) + 255 * (1 - alpha / 255)


def test_alpha_is_laid_over_white():
    rgba, ga = noise(32, 32, 4), noise(32, 32, 2)
    assert np.abs(square(png(rgba, kind=RGBA)) - over_white(rgba[..., :3], rgba[..., 3:])).max() <= 1
    assert np.abs(square(png(ga, kind=GREY_ALPHA)) - over_white(ga[..., :1], ga[..., 1:])).max() <= 1
    transparent = np.dstack([noise(5, 5, 3), np.zeros((5, 5, 1), np.uint8)])
    np.testing.assert_array_equal(square(png(transparent, kind=RGBA)), 255)


def test_palette_with_and_without_transparency():
    entries, indices = noise(5, 3), noise(20, 20, 1, high=5, seed=1)
    colours = entries[indices[..., 0]]
    np.testing.assert_array_equal(square(png(indices, kind=PALETTE, palette=entries)), colours)
    alpha = np.array([255, 0, 100], np.uint8)  # entries without a value are opaque
    data = png(indices, kind=PALETTE, palette=entries, transparency=alpha.tobytes())
    each = np.append(alpha, [255, 255])[indices[..., 0]][..., None]
    assert np.abs(square(data) - over_white(colours, each)).max() <= 1


def test_a_transparent_colour_is_white():
    pixels = noise(12, 12, 3)
    pixels[3, 4] = pixels[7, 1] = (9, 8, 7)
    data = png(pixels, kind=RGB, transparency=np.array([9, 8, 7], ">u2").tobytes())
    pixels[3, 4] = pixels[7, 1] = 255
    np.testing.assert_array_equal(square(data), pixels)


def test_transparent_gif():
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), mode="P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    data = saved(image, "GIF", transparency=1)
    np.testing.assert_array_equal(square(data)[0, 0], (10, 20, 30))
    np.testing.assert_array_equal(square(data)[0, 1], (255, 255, 255))


def test_cmyk_tiff_and_jpeg():
    inks = noise(16, 16, 4)
    expected = 255 * (1 - inks[..., :3] / 255) * (1 - inks[..., 3:] / 255)
    data = tiff(inks, photometric="separated")
    assert np.abs(square(data) - expected).max() <= 1
    smooth = Image.fromarray(np.dstack([scene(), np.full((64, 64), 30, np.uint8)]), mode="CMYK")
    exact = 255 * (1 - np.asarray(smooth)[..., :3] / 255) * (1 - 30 / 255)
    assert np.abs(square(saved(smooth, "JPEG", quality=98)) - exact).mean() < 2


def test_lab_tiff_by_the_formula():
    # CIE L*a*b* of pure sRGB grey and red, D50 (Lindbloom's tables): L in 0..255, a and b signed.
    lab = np.zeros((2, 2, 3), np.uint8)
    lab[0] = (round(53.6 * 2.55), 0, 0)
    lab[1] = (round(54.3 * 2.55), 81, 70)
    found = square(tiff(lab, photometric="cielab"))
    assert np.abs(found[0].astype(int) - 128).max() <= 3
    assert np.abs(found[1].astype(int) - (255, 0, 0)).max() <= 6


def test_one_bit_tiff_in_both_senses():
    bits = noise(16, 16, high=2).astype(bool)
    for meaning, white in (("minisblack", bits), ("miniswhite", ~bits)):
        data = tiff(bits, photometric=meaning)
        np.testing.assert_array_equal(square(data), grey(np.where(white, 255, 0).astype(np.uint8)))


ORIENTED = {  # EXIF 2.3, tag 274: how the stored picture (rows, columns) becomes the upright one
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", ORIENTED)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation_before_the_square_is_cut(orientation, kind):
    pixels = noise(20, 31, 3)  # an odd margin: cutting first would be off by one
    exif = Image.Exif()
    exif[274] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    picture = decode(saved(Image.fromarray(pixels), kind, exif=exif, **options), name="it")
    upright = ORIENTED[orientation](pixels)
    assert (picture.height, picture.width) == upright.shape[:2]
    np.testing.assert_array_equal(picture.square, square(ppm(np.ascontiguousarray(upright))))


def test_damaged_exif_costs_neither_the_picture_nor_a_warning():
    pixels = noise(8, 8, 3)
    data = png(pixels, kind=RGB, extra=chunk(b"eXIf", b"II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0"))
    np.testing.assert_array_equal(square(data), pixels)


def test_colour_profiles_are_not_applied():
    pixels = noise(8, 8, 3)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = saved(Image.fromarray(pixels), "PNG", icc_profile=profile)
    np.testing.assert_array_equal(square(data), pixels)


def test_the_first_frame_counts():
    first, second = Image.fromarray(noise(16, 16, 3)), Image.fromarray(noise(16, 16, 3, seed=1))
    for kind, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})):
        data = saved(first, kind, save_all=True, append_images=[second], **options)
        np.testing.assert_array_equal(square(data), np.asarray(first))
    stack = noise(3, 16, 16)
    np.testing.assert_array_equal(square(tiff(stack, photometric="minisblack")), grey(stack[0]))


KEPT = sorted(
    {"AVIF", "BMP", "DDS", "DIB", "GIF", "ICNS", "ICO", "JPEG", "JPEG2000", "MPO", "MSP", "PCX", "PNG"}
    | {"PPM", "QOI", "SGI", "SPIDER", "TGA", "TIFF", "WEBP", "XBM", "BLP"}
)


@cache
def of_kind(kind):
    """A picture of one of Pillow's kinds, in the mode that it can hold."""
    mode = {"MSP": "1", "XBM": "1", "SPIDER": "F", "BLP": "P", "GIF": "P"}.get(kind, "RGB")
    options = {"sizes": [(64, 64)]} if kind == "ICO" else {}
    return saved(Image.fromarray(scene()).convert(mode), kind, **options)


@pytest.mark.parametrize("kind", KEPT)
def test_every_kind_that_pillow_writes_is_read_as_pillow_reads_it(kind):
    data = of_kind(kind)
    with Image.open(io.BytesIO(data)) as image:
        if image.mode == "F":  # SPIDER: values in 0..255, kept
            expected = grey(np.rint(np.asarray(image)).astype(np.uint8))
        elif image.has_transparency_data:
            rgba = np.asarray(image.convert("RGBA")).astype(np.float64)
            expected = over_white(rgba[..., :3], rgba[..., 3:])
        else:
            expected = np.asarray(image.convert("RGB"))
    assert np.abs(square(data).astype(np.float64) - expected).max() <= 1


def test_the_kinds_are_those_of_pillow_that_are_stills():
    assert {".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".tif", ".bmp", ".jp2", ".mpo", ".psd"} <= (
        image_suffixes()
    )
    assert not image_suffixes() & {".eps", ".ps", ".pdf", ".mpg", ".mpeg", ".h5", ".hdf", ".grib", ".wmf"}
    assert {".heic", ".svg", ".cr2", ".eps"} <= unread_suffixes()
    assert not image_suffixes() & unread_suffixes()


def test_postscript_is_never_opened():
    with pytest.raises(ProbeError, match="not a picture of a kind"):
        square(saved(Image.fromarray(scene()), "EPS"))


@pytest.mark.parametrize("kind", KEPT)
@settings(max_examples=30)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_gives_a_reason_or_all_its_pixels(kind, share):
    data = of_kind(kind)
    picture, trouble = attempt(data[: int(len(data) * share)])
    if picture is not None:
        np.testing.assert_array_equal(picture.square, square(data))
    else:
        assert trouble.image == "it"
        assert trouble.reason
        assert str(trouble) == f"it: {trouble.reason}"


@pytest.mark.parametrize("kind", KEPT)
@settings(max_examples=30)
@given(
    places=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=8), seed=st.integers(0, 2**32 - 1)
)
def test_a_damaged_file_gives_a_reason_or_a_picture(kind, places, seed):
    data = bytearray(of_kind(kind))
    for place, value in zip(places, noise(len(places), seed=seed), strict=True):
        data[int(place * len(data))] = value
    picture, trouble = attempt(bytes(data))
    if picture is not None:
        side = min(picture.width, picture.height)
        assert picture.square.shape == (side, side, 3)
    else:
        assert trouble.reason


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_give_a_reason(data):
    with pytest.raises(ProbeError):
        square(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"not a picture at all", "not a picture of a kind that Pillow reads"),
        (of_kind("JPEG")[:700], "truncated or damaged"),
        (b"\x89PNG\r\n\x1a\n", "truncated or damaged|not a picture"),
    ],
    ids=["empty", "text", "half", "magic"],
)
def test_reasons(data, reason):
    with pytest.raises(ProbeError, match=reason):
        square(data)


@pytest.mark.parametrize(("width", "height"), [(12_000, 12_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_a_decompression_bomb_is_refused_by_its_header(width, height, monkeypatch):
    # Nothing but the header is there: a decoder that was started would complain of missing pixels.
    data = b"\x89PNG\r\n\x1a\n" + header(width, height, 8, RGB) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    assert width * height > MAX_PIXELS
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(ProbeError, match=r"larger than 134 megapixels.*refused before decoding"):
        square(data)


def test_the_limit_is_on_pixels(monkeypatch):
    data = ppm(noise(10, 12, 3))
    monkeypatch.setattr(module, "MAX_PIXELS", 120)
    square(data)
    monkeypatch.setattr(module, "MAX_PIXELS", 119)
    with pytest.raises(ProbeError, match=r"\(12 x 10 pixels\)"):
        square(data)


def test_warning_filters_are_left_as_found_by_many_threads():
    before = list(warnings.filters)
    data = of_kind("PNG")
    with ThreadPoolExecutor(8) as pool:
        squares = list(pool.map(square, [data] * 200))
    assert warnings.filters == before
    assert all(np.array_equal(found, squares[0]) for found in squares)
