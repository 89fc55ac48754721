"""Labels of the visible surface: distance, normals, shading, curvature, occlusion edges, corners.

Camera axes: x right, y up, z backwards. `ray` is the viewing ray of a pixel's centre with z = -1, so that a
point is depth * ray.
"""

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64
from scipy import ndimage

__all__ = [
    "corners", "curvature", "distance", "log_depth", "normals", "occlusion_edges", "points", "rays",
    "reshade",
]  # fmt: skip

_MAX_CURVATURE = 60.0  # 1/m


def rays(size: int, fov: float) -> Float64[np.ndarray, "size size 3"]:
    """Return viewing rays of pixel centres, z = -1."""
    reach = np.tan(np.radians(fov / 2))
    at = ((np.arange(size) + 0.5) / size * 2 - 1) * reach
    x, y = np.meshgrid(at, -at)
    return np.stack([x, y, -np.ones_like(x)], -1)


def points(depth: Float[np.ndarray, "s s"], fov: float) -> Float64[np.ndarray, "s s 3"]:
    """Surface points in camera axes."""
    return rays(len(depth), fov) * depth[..., None]


def distance(depth: Float[np.ndarray, "s s"], fov: float) -> Float64[np.ndarray, "s s"]:
    """Straight-line distance from the eye (Taskonomy's rgb2mist; rgb2depth is along the axis)."""
    return depth * np.linalg.norm(rays(len(depth), fov), axis=-1)


def log_depth(metres: Float[np.ndarray, "s s"]) -> Float64[np.ndarray, "s s"]:
    """Taskonomy's scale: log(1 + 512 d) / log(2^16), d at most 127 m. Rooms fill 0.55 to 0.72."""
    return np.log1p(512.0 * np.clip(metres, 0, 127)) / np.log(2.0**16)


def normals(
    world: Float[np.ndarray, "s s 3"], rotation: Float[np.ndarray, "3 3"]
) -> Float64[np.ndarray, "s s 3"]:
    """Turn normals from room axes into camera axes."""
    return world.astype(np.float64) @ rotation


def reshade(
    depth: Float[np.ndarray, "s s"], normal: Float[np.ndarray, "s s 3"], fov: float
) -> Float64[np.ndarray, "s s"]:
    """Shading of a grey world by a lamp at the eye: max(0, n.v) / (1 + (d / 4 m)^2).

    Deviation: the plain inverse square would burn whatever is near; Taskonomy's lamp has a range too.
    """
    ray = rays(len(depth), fov)
    view = -ray / np.linalg.norm(ray, axis=-1, keepdims=True)
    return np.clip((normal * view).sum(-1), 0, 1) / (1 + (distance(depth, fov) / 4) ** 2)


def curvature(
    depth: Float[np.ndarray, "s s"],
    normal: Float[np.ndarray, "s s 3"],
    instance: Int[np.ndarray, "s s"],
    fov: float,
) -> tuple[Float64[np.ndarray, "s s 2"], Bool[np.ndarray, "s s"]]:
    """Principal curvatures k1 >= k2 and where they are known.

    Shape operator from central differences of points P and unit normals N (do Carmo 1976, 3-3): with E, F, G
    the products of P's derivatives and L, M, N those of P's with N's,

        K = (LN - M^2) / (EG - F^2),   H = (EN - 2FM + GL) / (2 (EG - F^2)),   k = H +- sqrt(H^2 - K),

    positive where the surface bulges to the eye. Unknown at the frame and where a neighbour is another thing
    or steps by over 8 % in depth. Stored as sign(k) log(1 + |k|) / log(1 + 60), k in 1/m, cut at 60.
    """
    at = points(depth, fov)
    pu, pv, nu, nv = (np.gradient(a, axis=axis) for a in (at, normal) for axis in (1, 0))
    e, f, g = (pu * pu).sum(-1), (pu * pv).sum(-1), (pv * pv).sum(-1)
    ll, m, n = (pu * nu).sum(-1), ((pu * nv).sum(-1) + (pv * nu).sum(-1)) / 2, (pv * nv).sum(-1)
    area = np.maximum(e * g - f * f, 1e-14)
    gauss, mean = (ll * n - m * m) / area, (e * n - 2 * f * m + g * ll) / (2 * area)
    root = np.sqrt(np.maximum(mean**2 - gauss, 0))
    known = _smooth(depth, instance)
    k = np.stack([mean + root, mean - root], -1) * known[..., None]
    k = np.clip(k, -_MAX_CURVATURE, _MAX_CURVATURE)
    return np.sign(k) * np.log1p(np.abs(k)) / np.log1p(_MAX_CURVATURE), known


def occlusion_edges(depth: Float[np.ndarray, "s s"]) -> Float64[np.ndarray, "s s"]:
    """Where one surface ends before another, blurred by a pixel.

    1/z is affine in the image on a plane, so its second difference is 0 there however slanted the plane is;
    an edge is where z times it exceeds 0.04 and depth steps by over 5 % in the 3 x 3 neighbourhood.
    """
    z = np.where(depth > 0, depth, 127.0).astype(np.float64)
    inverse = 1 / np.maximum(z, 0.05)
    bend = np.max(
        [np.abs(ndimage.correlate1d(inverse, [1, -2, 1], axis, mode="nearest")) for axis in (0, 1)], axis=0
    )
    low, high = ndimage.minimum_filter(z, 3), ndimage.maximum_filter(z, 3)
    edge = (bend * z > 0.04) & (high - low > 0.05 * low)
    return ndimage.gaussian_filter(edge.astype(np.float64), 1.0)


def corners(
    normal: Float[np.ndarray, "s s 3"], occlusion: Float[np.ndarray, "s s"]
) -> Float64[np.ndarray, "s s"]:
    """Corners of the surface: the root of the smaller eigenvalue of the normal map's structure tensor.

    In place of NARF (Steder et al. 2011), which is in no Python package: like it, it answers where the
    surface changes in two directions, and keeps off the borders of things, by the occlusion edges.
    """
    tensor = np.zeros((3, *normal.shape[:2]))
    for k in range(3):
        smooth = ndimage.gaussian_filter(normal[..., k].astype(np.float64), 0.7)
        x, y = ndimage.sobel(smooth, 1) / 8, ndimage.sobel(smooth, 0) / 8
        tensor += np.stack([x * x, x * y, y * y])
    a, b, c = (ndimage.gaussian_filter(part, 1.5) for part in tensor)
    smaller = (a + c) / 2 - np.sqrt(((a - c) / 2) ** 2 + b * b)
    return np.sqrt(np.maximum(smaller, 0)) * (1 - np.clip(1.5 * occlusion, 0, 1))


def _smooth(depth: np.ndarray, instance: Int64[np.ndarray, "s s"] | np.ndarray) -> Bool[np.ndarray, "s s"]:
    """Tell where the four neighbours belong to the same thing and to the same sheet of it."""
    same = instance > 0
    for axis in (0, 1):
        for step in (1, -1):
            near = np.roll(depth, step, axis)
            same &= (np.roll(instance, step, axis) == instance) & (np.abs(near - depth) < 0.08 * depth)
    same[[0, -1]] = False
    same[:, [0, -1]] = False
    return same
