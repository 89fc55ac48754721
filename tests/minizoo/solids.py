"""Plane, sphere and box seen by a camera, in closed form: what the labels are checked against."""

import numpy as np

SIZE, FOV = 128, 75.0


def ray(size=SIZE, fov=FOV):
    """Literal version of the viewing rays: x right, y up, z = -1."""
    reach = np.tan(np.radians(fov) / 2)
    out = np.zeros((size, size, 3))
    for row in range(size):
        for column in range(size):
            out[row, column] = (
                ((column + 0.5) / size * 2 - 1) * reach,
                (1 - (row + 0.5) / size * 2) * reach,
                -1,
            )
    return out


def plane(normal, offset):
    """Depth and normals of the plane n.p = -offset, n turned to the eye (all of it must be in view)."""
    n = np.asarray(normal, float) / np.linalg.norm(normal)
    depth = -offset / (ray() @ n)
    return depth, np.broadcast_to(n, (SIZE, SIZE, 3)).copy()


def sphere(centre, radius, behind=6.0):
    """A sphere before a wall at depth `behind`: depth, normals, instances (1 wall, 2 sphere)."""
    d, c = ray(), np.asarray(centre, float)
    a, b = (d * d).sum(-1), d @ c
    root = b * b - a * (c @ c - radius * radius)
    hit = root > 0
    t = np.where(hit, (b - np.sqrt(np.maximum(root, 0))) / a, behind)
    normal = np.where(hit[..., None], (d * t[..., None] - c) / radius, (0.0, 0.0, 1.0))
    return t, normal, np.where(hit, 2, 1).astype(np.uint8)


def room(size, location, rotation):
    """Inside of a box: depth, normals in room axes, instances 1 to 6 (x0, x1, y0, y1, floor, ceiling)."""
    d, eye = ray() @ np.asarray(rotation).T, np.asarray(location, float)
    best, which = np.full((SIZE, SIZE), np.inf), np.zeros((SIZE, SIZE), int)
    for axis in range(3):
        for side, level in enumerate((0.0, size[axis])):
            with np.errstate(divide="ignore", invalid="ignore"):
                t = (level - eye[axis]) / d[..., axis]
            nearer = (t > 0) & (t < best)
            best, which = np.where(nearer, t, best), np.where(nearer, 2 * axis + side + 1, which)
    normals = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float)
    return best, normals[which - 1], which.astype(np.uint8)


def looking(yaw, pitch=0.0):
    """Rotation of a camera without roll: columns are right, up, backwards in room axes."""
    ahead = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    return np.stack([right, np.cross(right, ahead), -ahead], -1)
