"""Random weights and inputs that any machine draws alike: by name, from the raw stream of PCG64.

NumPy keeps the raw streams of its bit generators for ever, its distributions not. Each array has a stream
of its own, seeded by the SHA-256 of seed and name, so that order does not matter.

    u = 2 * (raw >> 11) / 2**53 - 1, in [-1, 1)
    kernels: u * sqrt(6 / fan_in), which keeps the size of what passes a ReLU
    scales and variances of batch norms: 1 + u / 2; the scale of a residual branch's last norm a third of it
    shifts, means and biases: u / 10
"""

import hashlib

import numpy as np

__all__ = ["picture", "uniform", "weights"]


def uniform(shape: tuple, *, seed: str, name: str) -> np.ndarray:
    """Numbers in [-1, 1), float64."""
    start = int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "little")
    raw = np.random.PCG64(start).random_raw(int(np.prod(shape, dtype=np.int64)))
    return ((raw >> np.uint64(11)) * 2.0**-52 - 1.0).reshape(shape)


def weights(shapes: dict, *, seed: str) -> dict:
    """Draw a network's variables, float32, by the names that TensorFlow gives them."""
    return {name: _drawn(name, tuple(shape), seed) for name, shape in shapes.items()}


def picture(height: int, width: int, *, seed: str) -> np.ndarray:
    """Draw a picture [height, width, 3] of 0..255: coarse patches with fine grain, as real ones have."""
    coarse = uniform((height // 16 + 1, width // 16 + 1, 3), seed=seed, name="coarse")
    patches = coarse.repeat(16, axis=0).repeat(16, axis=1)[:height, :width]
    fine = uniform((height, width, 3), seed=seed, name="fine")
    return np.clip(128 + 90 * patches + 30 * fine, 0, 255).astype(np.uint8)


def _drawn(name: str, shape: tuple, seed: str) -> np.ndarray:
    drawn = uniform(shape, seed=seed, name=name)
    last = name.rpartition("/")[2]
    if last == "gamma":
        drawn = 1 + drawn / 2
        if "bottleneck_v1/conv3/" in name:  # or fifty units would add up to a billion
            drawn /= 3
    elif last == "moving_variance":
        drawn = 1 + drawn / 2
    elif "weights" in last:
        # a depthwise kernel [h, w, channels, 1] sums over h and w alone
        fan_in = np.prod(shape[:2]) if last == "depthwise_weights" else np.prod(shape[:-1])
        drawn *= np.sqrt(6 / fan_in)
    else:
        drawn /= 10
    return drawn.astype(np.float32)
