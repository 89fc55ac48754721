"""From light to a picture: exposure by the scene's own brightness, a soft shoulder, sRGB.

Outside the renderer, so that a picture can be judged before it is kept.
"""

import numpy as np

__all__ = ["develop", "fault", "shrink", "to_srgb"]

_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


def develop(light: np.ndarray, *, key: float, ev: float) -> np.ndarray:
    """Linear light [h, w, 3] to a display picture in [0, 1].

    The exposure brings the geometric mean of the luminance to `key`, within limits; the shoulder is
    Reinhard's with the white at the 99th percentile, so lamps and windows keep their shape.
    """
    light = np.maximum(np.nan_to_num(light), 0)
    luminance = light @ _LUMA
    mean = float(np.exp(np.mean(np.log(luminance + 1e-4))))
    # A black piano before a white wall drags the mean down: the wall must not burn for it.
    gain = min(key / max(mean, 1e-4) * 2.0**ev, 0.6 / max(float(np.median(luminance)), 1e-4))
    gain = min(gain, 1.6 / max(float(np.percentile(luminance, 90)), 1e-4))
    exposed = light * gain
    white = max(2.0, float(np.percentile(exposed @ _LUMA, 99)))
    level = (exposed @ _LUMA)[..., None]
    factor = (1 + level / white**2) / (1 + level)
    return to_srgb(np.clip(exposed * factor * 1.25, 0, 1))


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """Encode linear light in [0, 1] as sRGB in [0, 1]."""
    return np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-8) ** (1 / 2.4) - 0.055
    )


def shrink(picture: np.ndarray, factor: int) -> np.ndarray:
    """Shrink by averaging factor x factor blocks."""
    height, width = picture.shape[0] // factor, picture.shape[1] // factor
    return picture.reshape(height, factor, width, factor, -1).mean((1, 3))


def fault(picture: np.ndarray) -> str | None:
    """Name what is wrong with a picture in [0, 1], if anything: black, blown out or flat."""
    grey = picture @ _LUMA
    if float((grey < 0.03).mean()) > 0.35 or float(grey.mean()) < 0.15:
        return "too dark"
    if float((picture.min(-1) > 0.97).mean()) > 0.2 or float(grey.mean()) > 0.9:
        return "blown out"
    if float(grey.std()) < 0.05:
        return "flat"
    return None
