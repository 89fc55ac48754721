"""Hypothesis strategies that several test folders share."""

import numpy as np
from hypothesis import strategies as st

__all__ = ["affinity_matrices", "distinct_names", "raw_maps", "unit_map_vectors", "unit_maps"]

# What Newick, CSV and HTML stumble over, and plain spec texts.
ODD = "ab_Z9 .-:/?=&'\"()[],;|<>\\é漢"


def distinct_names(count):
    """`count` different model names, odd signs included."""
    name = st.text(ODD, min_size=1, max_size=12).filter(
        lambda text: text == text.strip() and any(c.isalnum() for c in text)
    )
    return st.lists(name, min_size=count, max_size=count, unique=True)


@st.composite
def raw_maps(draw, *, square=False):
    """Float32 maps [model, image, cell] of any sign and scale, none zero, none too small for float16."""
    cells = draw(st.integers(2, 6)) ** 2 if square else draw(st.integers(2, 40))
    shape = (draw(st.integers(2, 6)), draw(st.integers(1, 6)), cells)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    common = rng.normal(size=shape[1:]) * draw(st.sampled_from([0.0, 1.0, 5.0]))
    return (rng.normal(size=shape) + common + 1e-3).astype(np.float32)


def unit_maps(raw):
    """Stored form of raw maps: L2-normalised in float32, then float16."""
    return (raw / np.linalg.norm(raw, axis=-1, keepdims=True)).astype(np.float16)


@st.composite
def unit_map_vectors(draw, *, dead=True, square=False):
    """Float16 unit maps [model, image, cell]; zeros where dead, image 0 is alive for all models."""
    maps = unit_maps(draw(raw_maps(square=square)))
    if dead:
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        gone = rng.random(maps.shape[:2]) < draw(st.sampled_from([0.0, 0.3, 0.8]))
        gone[:, 0] = False
        maps[gone] = 0
    return maps


@st.composite
def affinity_matrices(draw, *, least=2, most=12):
    """Symmetric float64 matrices in [-1, 1] with unit diagonal; some with many ties."""
    count = draw(st.integers(least, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.uniform(-1, 1, size=(count, count))
    if draw(st.booleans()):
        values = np.round(values, 1)
    values = np.triu(values, 1)
    return values + values.T + np.eye(count)
