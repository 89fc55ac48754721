"""Atlas folders of any size for the report's tests, written by the real store without models.

Maps are filtered photographs (edges at several scales, light, shade, colour, centre), mixed by group: what is
drawn looks like maps of networks, and affinity, intervals and tree come from them by `modelatlas.space`.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from modelatlas._types import METHODS
from modelatlas.atlas import Atlas, open_atlas
from modelatlas.space import AffinityAccumulator, tree
from modelatlas.store import (
    Layout,
    MapWriter,
    model_key,
    write_document,
    write_json,
    write_text,
    write_thumbnails,
)

GRID = 64
NAMES = (
    ("package:efficientnet-lite0", "classification", "semantic"),
    ("package:hed", "edges", "2D"),
    ("timm:vit_small_patch16_224.augreg_in21k?random=3", "classification", "semantic"),
    ("package:xfeat", "keypoints", "2D"),
    ("package:line-segments", "line segments", "geometric"),
    ("taskonomy:rgb2depth", "depth", "3D"),
    ("taskonomy:rgb2sfnorm", "normals", "3D"),
    ("taskonomy:reshade", "reshading", "3D"),
    ("taskonomy:vanishing_point", "vanishing points", "geometric"),
    ("taskonomy:room_layout", "room layout", "geometric"),
    ("taskonomy:segmentsemantic", "segmentation", "semantic"),
    ("taskonomy:class_places", "scene class", "semantic"),
    ("taskonomy:autoencoder", "autoencoding", "2D"),
    ("taskonomy:denoise", "denoising", "2D"),
    ("taskonomy:edge3d", "occlusion edges", "3D"),
    ("taskonomy:keypoint3d", "keypoints 3D", "3D"),
    ("package:document-layout", "page layout", "document"),
    ("package:text-detection", "text detection", "document"),
    ("package:style-transfer-mosaic", "style transfer", "style"),
    ("timm:mobilenetv3_large_100.ra_in1k?layer=blocks.6.0.conv", "classification", "semantic"),
)


@lru_cache(maxsize=1)
def photographs(size: int = 128) -> np.ndarray:
    """Centre squares of scikit-image's photographs, uint8 [image, size, size, 3]."""
    from skimage import data

    out = []
    for name in ("astronaut", "chelsea", "coffee", "rocket", "brick", "camera", "coins", "grass"):
        image = Image.fromarray(getattr(data, name)()).convert("RGB")
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BOX)
        out.append(np.asarray(square))
    return np.stack(out)


@lru_cache(maxsize=1)
def _filters() -> np.ndarray:
    """[filter, image, g, g]: what a network might look at."""
    out = []
    for photo in photographs():
        image = np.asarray(Image.fromarray(photo).resize((GRID, GRID), Image.Resampling.BOX)) / 255.0
        grey, colour = image.mean(axis=2), image.std(axis=2)
        y, x = np.mgrid[-1 : 1 : GRID * 1j, -1 : 1 : GRID * 1j]
        edges = [ndimage.gaussian_gradient_magnitude(grey, s) for s in (0.7, 1.5, 3)]
        blobs = [ndimage.gaussian_laplace(grey, s) for s in (1, 2, 4)]
        bank = [*edges, *blobs, grey, 1 - grey, colour, np.exp(-2 * (x**2 + y**2)), ndimage.sobel(grey, 0)]
        out.append([band / np.abs(band).max() for band in bank])
    return np.array(out).transpose(1, 0, 2, 3)


def write_atlas(
    folder: Path,
    count: int,
    *,
    methods: Sequence[str] = METHODS,
    names: Sequence[str] | None = None,
    groups: bool = True,
    excluded: Mapping[str, str] | None = None,
    left_out: Mapping[str, str] | None = None,
    dead: Sequence[tuple[int, str, int]] = (),
    pictures: bool = True,
    seed: int = 0,
) -> Atlas:
    """Write an atlas of `count` models on eight photographs; above 20, the names come again with a number.

    `dead` lists (model, method, image) without a map.
    """
    if names is None:
        again = ["", *(f"-b{time}" for time in range(2, 99))]
        names = [NAMES[i % len(NAMES)][0] + again[i // len(NAMES)] for i in range(count)]
    images = [f"photographs/picture-{i:03d}.jpg" for i in range(len(photographs()))]
    stored = _maps(count, methods, seed)
    for model, method, image in dead:
        stored[method][model, image] = 0
    for i, name in enumerate(names):
        writer = MapWriter(folder, model_key(name), name=name, methods=methods, images=len(images), grid=GRID)
        for method in methods:
            maps = stored[method][i]
            norms = np.sqrt((maps.astype(np.float64) ** 2).sum(axis=(1, 2))).astype(np.float32)
            writer.write(method, 0, maps, norms)
    alive = {method: np.abs(stored[method]).sum(axis=(2, 3)) > 0 for method in methods}
    for method in methods:
        _write_results(folder, names, method, stored[method], alive[method])
    if pictures:
        write_thumbnails(folder, dict(zip(images, photographs(), strict=True)))
    write_json(
        Layout(folder).manifest,
        {"images": [{"id": image, "source": "scikit-image", "licence": "CC0-1.0"} for image in images]},
    )
    models: dict[str, dict[str, Any]] = {}
    for i, name in enumerate(names):
        _, task, group = NAMES[i % len(NAMES)]
        models[name] = {
            "spec": name, "task": task if groups else None, "group": group if groups else None,
            "licence": "Apache-2.0", "citation": None, "status": "charted", "trained": "random=" not in name,
            "parameters": 4_652_008, "layer": "encoder.layer4.2",
            "layer_reason": "the last block", "layer_shape": [512, 7, 7],
            "input_size": [224, 224], "live": {method: int(alive[method][i].sum()) for method in methods},
            "batch": 16, "device": "cpu", "seconds": 12.3,
        }  # fmt: skip
    for name, reason in (excluded or {}).items():
        models[name] = {"spec": name, "task": None, "group": None, "licence": None, "citation": None,
                        "status": "excluded", "reason": reason, "trained": True}  # fmt: skip
    write_document(
        folder,
        {
            "state": "finished",
            "zoo": "demo" if not names or ":" not in names[0] else "specs",
            "settings": {
                "methods": list(methods), "images": len(images), "seed": 0, "grid": GRID, "epsilon": 1e-4,
                "precision": "float32", "linkage": "single", "batch": "auto", "device": "cpu", "threads": 2,
                "bootstrap": {"replicates": 1000, "seed": 0, "level": 0.95},
            },
            "probe": {"name": "photos", "source": "photographs of scikit-image", "digest": "9f2c" * 16,
                      "pool": 122, "images": images},
            "software": {"python": "3.11.2", "platform": "Linux", "modelatlas": "0.1.0", "torch": "2.13.0"},
            "models": models,
            "left_out": [{"item": item, "reason": reason} for item, reason in (left_out or {}).items()],
        },
    )  # fmt: skip
    return open_atlas(folder)


def _write_results(
    folder: Path, names: Sequence[str], method: str, maps: np.ndarray, alive: np.ndarray
) -> None:
    collected, layout = AffinityAccumulator(names, bootstrap=200, seed=0), Layout(folder)
    collected.add(maps.reshape(*maps.shape[:2], -1), alive)
    result = collected.result()
    write_text(layout.affinity(method), result.frame().to_csv(lineterminator="\n"))
    write_text(
        layout.interval(method), collected.interval().frame(result).to_csv(index=False, lineterminator="\n")
    )
    if len(names) > 1:
        write_text(layout.tree(method), tree(result).newick() + "\n")


def _maps(count: int, methods: Sequence[str], seed: int) -> dict[str, np.ndarray]:
    """Method -> unit maps, float16 [model, image, g, g]."""
    rng = np.random.default_rng(seed)
    bank = _filters()
    kinds = sorted({group for _, _, group in NAMES})
    taste = {kind: rng.dirichlet(np.full(len(bank), 0.35)) for kind in kinds}
    tilt = {kind: rng.standard_normal(len(bank)) for kind in kinds}
    stored = {}
    for method in methods:
        maps = []
        for i in range(count):
            kind = NAMES[i % len(NAMES)][2]
            raw = np.einsum("f,fnij->nij", taste[kind] + 0.35 * rng.dirichlet(np.full(len(bank), 0.5)), bank)
            noise = ndimage.gaussian_filter(rng.standard_normal(raw.shape), (0, 0.6, 0.6))
            raw = raw + 0.12 * np.abs(raw).max() * noise
            signs = np.einsum("f,fnij->nij", tilt[kind] + 0.5 * rng.standard_normal(len(bank)), bank)
            value = np.abs(raw) ** 1.5 if method == "saliency" else raw * np.tanh(3 * signs)
            maps.append(value / np.sqrt((value**2).sum(axis=(1, 2), keepdims=True)))
        stored[method] = np.array(maps).astype(np.float16)
    return stored
