"""The probe `rooms` as it ships: whole, licensed, and pictures of what it says."""

from collections import Counter

import numpy as np
import pytest

from modelatlas.fetch import mini_data
from modelatlas.probe import open_probe
from modelatlas.probe.manifest import read_manifest


@pytest.fixture(scope="module")
def rooms():
    return read_manifest(mini_data(needed_for="a test") / "rooms" / "manifest.json")


def test_rooms_are_two_hundred_views_of_each_of_five_buildings(rooms):
    assert len(rooms) == rooms.pool == 1000
    assert Counter(image.id.partition("/")[0] for image in rooms.images) == {
        f"probe-{building:03d}": 200 for building in range(5)
    }
    assert set(Counter(image.photograph for image in rooms.images).values()) == {4}  # views of a room
    assert {(image.width, image.height) for image in rooms.images} == {(256, 256)}


def test_all_pictures_are_there_and_none_is_black_blown_out_or_twice_the_same():
    probe = open_probe("rooms")  # compares every checksum
    assert not probe.left_out
    shown = np.stack([probe.square(place)[::8, ::8].mean(axis=2) for place in range(0, 1000, 5)])
    middle = np.median(shown, axis=(1, 2))
    assert middle.min() > 40
    assert middle.max() < 235
    assert (shown >= 254).mean(axis=(1, 2)).max() < 0.4
    assert shown.std(axis=(1, 2)).min() > 8
    assert len({image.sha256 for image in probe.images}) == 1000


def test_few_images_come_from_as_many_rooms_as_they_can():
    probe = open_probe("rooms", images=200)
    assert len({image.photograph for image in probe.images}) == 200
    assert set(Counter(image.id.partition("/")[0] for image in probe.images)) == {
        f"probe-{building:03d}" for building in range(5)
    }


def test_the_notice_goes_with_the_pictures(rooms):
    notice = (rooms.root / "NOTICE.md").read_text(encoding="utf-8")
    assert "CC BY" in notice
    assert {image.licence for image in rooms.images} == {
        "CC BY 4.0; NOTICE.md names the creators of models and textures"
    }
