"""Skies and wall pictures, made once from the high-dynamic-range surroundings.

A sky is scaled to mean luminance 1 and clipped: its sun (up to 36,000 times the mean) would cover a denoised
4-sample render with fireflies. Direct light comes from lamps at the windows instead.
"""

import math
from pathlib import Path

import numpy as np

from minizoo.catalogue import SEEN_SPLITS, hold_out
from minizoo.paths import PICTURES, WORLDS, write_bytes
from minizoo.sources import sky_files

__all__ = ["pictures", "prepare", "skies"]

_INDOORS = ("apartment", "hall", "lab", "lobby", "warehouse", "workshop", "studio", "interior")
_CROPS = 4
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


def skies(split: str, *, day: bool) -> tuple[Path, ...]:
    """Skies that rooms of a split may look at: by day all but the night ones."""
    names = [path.stem for path in sorted(WORLDS.glob("*.hdr"))]
    outdoors = [name for name in names if not name.removeprefix("blender-").startswith(_INDOORS)]
    night = [name for name in outdoors if "night" in name]
    if not day:
        return tuple(WORLDS / f"{name}.hdr" for name in night)
    kept = hold_out(name for name in outdoors if name not in night)[0 if split in SEEN_SPLITS else 1]
    return tuple(WORLDS / f"{name}.hdr" for name in kept)


def pictures(*, unseen: bool) -> tuple[Path, ...]:
    """Photographs for the walls, split by the surroundings that they were cut from."""
    names = sorted({path.stem.rsplit("_", 1)[0] for path in PICTURES.glob("*.jpg")})
    kept = hold_out(names)[1 if unseen else 0]
    return tuple(path for name in kept for path in sorted(PICTURES.glob(f"{name}_[0-9].jpg")))


def prepare() -> None:
    """Write skies and pictures that are missing."""
    import cv2

    for name, path in sky_files().items():
        target = WORLDS / f"{name}.hdr"
        if target.exists() and (PICTURES / f"{name}_{_CROPS - 1}.jpg").exists():
            continue
        sky = _read(path)
        for crop in range(_CROPS):
            done, data = cv2.imencode(
                ".jpg", _photograph(sky, crop)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95]
            )
            if done:
                write_bytes(PICTURES / f"{name}_{crop}.jpg", data.tobytes())
        scaled = np.clip(sky / max(float((sky @ _LUMA).mean()), 1e-6), 0, 8)
        scaled /= max(float((scaled @ _LUMA).mean()), 1e-6)
        done, data = cv2.imencode(".hdr", np.ascontiguousarray(scaled[..., ::-1]))
        write_bytes(target, data.tobytes())


def _read(path: Path) -> np.ndarray:
    import OpenEXR

    with OpenEXR.File(str(path)) as file:
        channels = file.channels()
        if "RGB" in channels or "RGBA" in channels:
            pixels = (channels.get("RGB") or channels["RGBA"]).pixels[..., :3]
        else:
            pixels = np.stack([channels[c].pixels for c in "RGB"], -1)
        return np.asarray(pixels, np.float32)


def _photograph(sky: np.ndarray, crop: int) -> np.ndarray:
    """Cut one perspective view out of a sphere and expose it: uint8 [216, 288, 3]."""
    import cv2

    x, y = np.meshgrid(np.linspace(-0.8, 0.8, 288), np.linspace(0.6, -0.6, 216))
    ray = np.stack([x, y, np.ones_like(x)], -1)
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    longitude = np.arctan2(ray[..., 0], ray[..., 2]) + crop * 2 * math.pi / _CROPS + 0.4
    height, width = sky.shape[:2]
    u = ((longitude / (2 * math.pi) + 0.5) % 1 * (width - 1)).astype(np.float32)
    v = ((0.5 - np.arcsin(ray[..., 1]) / math.pi) * (height - 1)).astype(np.float32)
    light = cv2.remap(sky, u, v, cv2.INTER_LINEAR)
    light = light / (2.2 * float(np.median(light)) + 1e-6)
    return (255 * np.clip(light / (1 + 0.3 * light), 0, 1) ** (1 / 2.2)).astype(np.uint8)
