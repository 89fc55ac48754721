"""The area grid keeps sums exactly; map vectors are unit vectors or zero."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelatlas.attribution import area_grid, map_vectors
from modelatlas.errors import AttributionError

sizes = st.integers(1, 40)


def maps_of(height, width, seed, count=2):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, height, width, generator=generator, dtype=torch.float64)


def literal_area_grid(maps, grid):
    """Each pixel's value spread over the cells by the area that they share."""
    count, height, width = maps.shape
    out = np.zeros((count, grid, grid))
    for i in range(grid):
        for j in range(grid):
            for r in range(height):
                for c in range(width):
                    rows = max(0, min((i + 1) * height / grid, r + 1) - max(i * height / grid, r))
                    columns = max(0, min((j + 1) * width / grid, c + 1) - max(j * width / grid, c))
                    out[:, i, j] += maps[:, r, c] * rows * columns
    return out


@settings(deadline=None, derandomize=True)
@given(height=sizes, width=sizes, grid=sizes, seed=st.integers(0, 99))
def test_the_sum_is_kept(height, width, grid, seed):
    maps = maps_of(height, width, seed)
    torch.testing.assert_close(area_grid(maps, grid=grid).sum((1, 2)), maps.sum((1, 2)), rtol=1e-9, atol=1e-9)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(height=st.integers(1, 9), width=st.integers(1, 9), grid=st.integers(1, 7), seed=st.integers(0, 99))
def test_it_equals_its_literal_twin(height, width, grid, seed):
    maps = maps_of(height, width, seed)
    np.testing.assert_allclose(
        area_grid(maps, grid=grid).numpy(), literal_area_grid(maps.numpy(), grid), atol=1e-12
    )


@settings(deadline=None, derandomize=True)
@given(size=sizes, grid=sizes)
def test_a_flat_map_stays_flat(size, grid):
    cells = area_grid(torch.ones(1, size, size, dtype=torch.float64), grid=grid)
    torch.testing.assert_close(cells, torch.full_like(cells, (size / grid) ** 2))


def test_whole_multiples_are_block_sums():
    # torch's own average pooling, which is exact where the grid divides the map
    maps = maps_of(12, 8, 0)
    pooled = torch.nn.functional.avg_pool2d(maps[:, None], (3, 2))[:, 0] * 6
    torch.testing.assert_close(area_grid(maps, grid=4), pooled)


def test_by_hand():
    # 3 pixels on 2 cells: the middle one is shared
    cells = area_grid(torch.tensor([[[1.0, 2.0, 4.0]]]), grid=2)
    torch.testing.assert_close(cells, torch.tensor([[[1.0, 2.5], [1.0, 2.5]]]))


def test_a_grid_of_no_cells_is_refused():
    with pytest.raises(AttributionError, match="at least one cell"):
        area_grid(torch.zeros(1, 4, 4), grid=0)


@settings(deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 99), scale=st.sampled_from([1e-30, 1e-12, 1.0, 1e12, 1e30]), grid=st.integers(1, 9)
)
def test_vectors_have_unit_length_whatever_the_scale(seed, scale, grid):
    attribution = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * scale
    vectors, norms = map_vectors(attribution, grid=grid)
    assert vectors.dtype == norms.dtype == torch.float32
    torch.testing.assert_close(torch.linalg.vector_norm(vectors, dim=(1, 2)), torch.ones(3))
    expected = area_grid(attribution.double().mean(1), grid=grid)
    torch.testing.assert_close(
        norms.double(), torch.linalg.vector_norm(expected, dim=(1, 2)), rtol=1e-4, atol=0
    )


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_dead_maps_give_zeros_and_tell_their_norm(value):
    attribution = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    attribution[1] = value
    vectors, norms = map_vectors(attribution, grid=4)
    assert torch.equal(vectors[1], torch.zeros(4, 4))
    assert not (torch.isfinite(norms[1]) and norms[1] > 0)
    assert torch.equal(vectors[[0, 2]], map_vectors(attribution[[0, 2]], grid=4)[0])


def test_one_pixel_that_is_not_finite_kills_its_map_only():
    attribution = torch.ones(2, 3, 8, 8)
    attribution[0, 1, 2, 3] = float("nan")
    vectors, norms = map_vectors(attribution, grid=4)
    assert torch.equal(vectors[0], torch.zeros(4, 4))
    assert torch.isnan(norms[0])
    assert norms[1] > 0
