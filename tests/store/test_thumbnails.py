import numpy as np
import pytest

from modelatlas.store import read_thumbnails, write_thumbnails


def test_pictures_come_back_in_their_order(tmp_path):
    pictures = {name: np.full((4, 4, 3), k, np.uint8) for k, name in enumerate(["b/ü.png", "a.png"])}
    write_thumbnails(tmp_path, pictures)
    found = read_thumbnails(tmp_path)
    assert list(found) == list(pictures)
    assert all(np.array_equal(found[name], pictures[name]) for name in pictures)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", None])
def test_missing_and_damaged_ones_are_as_none(tmp_path, damage):
    if damage is not None:
        (tmp_path / "thumbnails.npz").write_bytes(damage)
    assert read_thumbnails(tmp_path) == {}
