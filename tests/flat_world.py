"""A flat world for the tests of training: coloured rectangles with exact labels for all tasks.

Each kind of rectangle has a colour, a depth and a slant of its own, so that every label can be learned from
colour alone within a few dozen steps. Labels have the form that `minizoo.dataset` states.
"""

import numpy as np
from minizoo.dataset import Views
from minizoo.losses import BY_NAME

KINDS = 5
COLOURS = np.array([(90, 90, 90), (220, 40, 40), (40, 200, 60), (50, 70, 220), (230, 210, 50)], np.uint8)
DEPTHS = np.array([5.0, 1.0, 2.0, 3.0, 4.0], np.float32)


def flat_world(count: int, *, seed: int, name: str = "room") -> Views:
    rng = np.random.default_rng(seed)
    kind = np.zeros((count, 128, 128), np.int64)
    number = np.zeros((count, 128, 128), np.int64)
    for view in range(count):
        for place in range(1, 5):
            top, left = rng.integers(0, 88, 2)
            height, width = rng.integers(24, 56, 2)
            region = (view, slice(top, top + height), slice(left, left + width))
            kind[region], number[region] = rng.integers(1, KINDS), place
    pictures = np.clip(COLOURS[kind] + rng.normal(0, 6, (*kind.shape, 3)), 0, 255).astype(np.uint8)
    small, parts = kind[:, ::2, ::2], number[:, ::2, ::2]
    depth = DEPTHS[small][:, None].astype(np.float16)
    angle = small * 0.5 - 1
    normals = np.stack([np.sin(angle), np.zeros_like(angle), np.cos(angle)], 1).astype(np.float16)
    edge = np.zeros_like(depth)
    edge[..., 1:] = np.abs(np.diff(parts, axis=-1))[:, None] > 0
    share = np.stack([(small == k).mean((1, 2)) for k in range(KINDS)], 1).astype(np.float32)
    vector = np.concatenate([share[:, 1:], share[:, :4] ** 2, np.zeros((count, 1))], 1).astype(np.float32)
    labels = {
        "rgb2depth": depth, "rgb2mist": depth * np.float16(1.1), "reshade": 1 / depth, "rgb2sfnorm": normals,
        "edge2d": edge, "edge3d": edge, "keypoint2d": edge, "keypoint3d": edge,
        "curvature": np.concatenate([edge, -edge], 1), "segment2d": parts.astype(np.uint8),
        "segment25d": parts.astype(np.uint8), "segmentsemantic": small.astype(np.int16),
        "colorization": small[:, ::2, ::2].astype(np.int16), "vanishing_point": vector, "room_layout": vector,
        "class_1000": share, "class_places": share[:, 1:].argmax(1).astype(np.int16),
    }  # fmt: skip
    assert set(labels) == {task.target for task in BY_NAME.values()} - {""}
    return Views(tuple(f"{name}-{k:04d}" for k in range(count)), pictures, labels, f"flat-{seed}-{count}")
