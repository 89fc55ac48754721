"""Literal twins of `modelatlas.space`: loops over pairs and images, straight from method.md."""

import math
from fractions import Fraction

import numpy as np


def affinity(vectors):
    """Mean inner product over images where neither map is zero; in rational numbers, rounded at the end."""
    count = len(vectors)
    out = np.eye(count)
    for i in range(count):
        for j in range(count):
            if i == j:
                continue
            total, live = Fraction(0), 0
            for a, b in zip(vectors[i], vectors[j], strict=True):
                if any(a) and any(b):
                    live += 1
                    total += sum(Fraction(float(x)) * Fraction(float(y)) for x, y in zip(a, b, strict=True))
            out[i, j] = min(1.0, max(-1.0, float(total) / live))
    return out


def interval(vectors, *, replicates, seed, level):
    """Percentile bootstrap over images: draw images by their multinomial counts, take the affinity again."""
    models, images = vectors.shape[:2]
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(images, np.full(images, 1 / images), size=replicates)
    wide = vectors.astype(np.float64)
    alive = vectors.any(axis=2)
    low, high = np.eye(models), np.eye(models)
    value = affinity(vectors)
    for i in range(models):
        for j in range(models):
            if i == j:
                continue
            draws = []
            for row in weights:
                drawn = [p for p in range(images) for _ in range(row[p]) if alive[i, p] and alive[j, p]]
                if drawn:
                    draws.append(sum(float(wide[i, p] @ wide[j, p]) for p in drawn) / len(drawn))
            ends = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
            low[i, j] = max(-1, min(value[i, j], ends[0]))
            high[i, j] = min(1, max(value[i, j], ends[1]))
    return low, high


def alive(norms):
    """One map after the other: finite, above zero, at least 1e-6 of the median of such norms of its model."""
    out = np.zeros(norms.shape, dtype=bool)
    for i, row in enumerate(norms):
        good = sorted(float(x) for x in row if math.isfinite(x) and x > 0)
        for p, x in enumerate(row):
            if math.isfinite(x) and x > 0:
                middle = (good[(len(good) - 1) // 2] + good[len(good) // 2]) / 2
                out[i, p] = float(x) >= 1e-6 * middle
    return out


def merge_heights(values, *, linkage):
    """Distances of the successive merges of rows: by definition, all pairs of members each time."""
    groups = [[i] for i in range(len(values))]
    distance = [[math.dist(a, b) for b in values] for a in values]
    rule = {"single": min, "complete": max, "average": lambda d: sum(d) / len(d)}[linkage]
    heights = []
    while len(groups) > 1:
        best = min(
            (rule([distance[i][j] for i in a for j in b]), x, y)
            for x, a in enumerate(groups)
            for y, b in enumerate(groups)
            if x < y
        )
        heights.append(best[0])
        groups[best[1]] += groups.pop(best[2])
    return heights
