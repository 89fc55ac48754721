"""A PNG writer from the format's description (W3C PNG, sections 5, 7, 11), sharing nothing with Pillow."""

import struct
import zlib

import numpy as np

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(samples, *, kind, depth=8, palette=None, transparency=None, extra=b""):
    """A PNG file of samples [height, width, channel], unfiltered, not interlaced.

    Parameters
    ----------
    kind
        Colour type of the header.
    depth
        Bits a sample: 1, 2, 4, 8, 16.
    palette
        RGB entries [entry, 3] for PALETTE.
    transparency
        Body of the tRNS chunk.
    extra
        Whole chunks that stand before the pixels.
    """
    samples = np.asarray(samples)
    height, width = samples.shape[:2]
    rows = []
    for row in samples.reshape(height, -1):
        if depth == 16:
            body = row.astype(">u2").tobytes()
        else:
            bits = "".join(format(int(sample), f"0{depth}b") for sample in row)
            bits += "0" * (-len(bits) % 8)
            body = bytes(int(bits[start : start + 8], 2) for start in range(0, len(bits), 8))
        rows.append(b"\0" + body)
    parts = [b"\x89PNG\r\n\x1a\n", header(width, height, depth, kind), extra]
    if palette is not None:
        parts.append(chunk(b"PLTE", np.asarray(palette, np.uint8).tobytes()))
    if transparency is not None:
        parts.append(chunk(b"tRNS", transparency))
    parts += [chunk(b"IDAT", zlib.compress(b"".join(rows))), chunk(b"IEND", b"")]
    return b"".join(parts)


def header(width, height, depth, kind):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
