import numpy as np
import pytest
import zarr

from modelatlas.errors import ConflictError, StoreError
from modelatlas.store import SHARD, MapReader, MapWriter

METHODS = ("saliency", "epsilon-lrp")
GRID = 4
RNG = np.random.default_rng(0)
MAPS = RNG.standard_normal((2 * SHARD + 5, GRID, GRID)).astype(np.float32)
NORMS = RNG.uniform(1e-7, 1e7, len(MAPS)).astype(np.float32)


def writer(root, images, methods=METHODS):
    return MapWriter(root, "key", name="net", methods=methods, images=images, grid=GRID)


def write(root, start, stop, images, methods=METHODS):
    opened = writer(root, images, methods)
    for method in methods:
        for first in range(start - start % SHARD, stop, SHARD):
            part = slice(max(start, first), min(stop, first + SHARD))
            opened.write(method, part.start, MAPS[part], NORMS[part])


def check(root, images, methods=METHODS):
    reader = MapReader(root, "key")
    for method in methods:
        np.testing.assert_array_equal(reader.maps(method, 0, images), MAPS[:images].astype(np.float16))
        np.testing.assert_array_equal(reader.norms(method, images), NORMS[:images])


def test_maps_come_back_in_float16_and_norms_as_they_are(tmp_path):
    write(tmp_path, 0, 40, 40)
    check(tmp_path, 40)
    np.testing.assert_array_equal(
        MapReader(tmp_path, "key").maps("saliency", 30, 35), MAPS[30:35].astype(np.float16)
    )


@pytest.mark.parametrize("first", [5, SHARD, SHARD + 5])
def test_lengthening_keeps_what_is_there(tmp_path, first):
    write(tmp_path, 0, first, first)
    write(tmp_path, first, len(MAPS), len(MAPS))
    check(tmp_path, len(MAPS))


def test_a_shorter_writer_keeps_the_length_and_another_method_comes_beside(tmp_path):
    write(tmp_path, 0, 40, 40, ("saliency",))
    write(tmp_path, 0, 10, 10, ("epsilon-lrp",))
    check(tmp_path, 40, ("saliency",))
    check(tmp_path, 10, ("epsilon-lrp",))


def test_plain_zarr_reads_it(tmp_path):
    write(tmp_path, 0, 40, 40)
    group = zarr.open_group(tmp_path / "maps.zarr", mode="r")["key"]
    assert group.attrs["model"] == "net"
    assert group["saliency"].chunks == (SHARD, GRID, GRID)
    assert group["saliency"].metadata.dimension_names == ("image", "row", "column")
    np.testing.assert_array_equal(group["saliency"][:], MAPS[:40].astype(np.float16))


def test_a_chunk_of_dead_maps_is_a_file_and_a_missing_one_shows(tmp_path):
    opened = writer(tmp_path, 4, ("saliency",))
    reader = MapReader(tmp_path, "key")
    assert not reader.has("saliency", 0)
    opened.write("saliency", 0, np.zeros((4, GRID, GRID), np.float32), np.zeros(4, np.float32))
    assert reader.has("saliency", 0)
    assert not reader.maps("saliency", 0, 4).any()
    (tmp_path / "maps.zarr" / "key" / "saliency" / "c" / "0" / "0" / "0").unlink()
    assert not reader.has("saliency", 0)
    with pytest.raises(StoreError, match="is missing, with maps of images from 0 on"):
        reader.maps("saliency", 0, 4)


@pytest.mark.parametrize("place", [0, 0.3, 0.9])
def test_a_flipped_bit_is_found_by_the_checksum(tmp_path, place):
    write(tmp_path, 0, 40, 40, ("saliency",))
    chunk = tmp_path / "maps.zarr" / "key" / "saliency" / "c" / "1" / "0" / "0"
    content = bytearray(chunk.read_bytes())
    content[int(place * len(content))] ^= 4
    chunk.write_bytes(bytes(content))
    reader = MapReader(tmp_path, "key")
    reader.maps("saliency", 0, SHARD)
    with pytest.raises(StoreError, match=r"damaged between images 32 and 39 .*c/1"):
        reader.maps("saliency", SHARD, 40)


def test_another_grid_is_a_conflict(tmp_path):
    write(tmp_path, 0, 8, 8)
    with pytest.raises(ConflictError, match="4 in this atlas, 5 now"):
        MapWriter(tmp_path, "key", name="net", methods=METHODS, images=8, grid=5)
