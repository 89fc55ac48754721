"""Built-in probes and `build_probe`: whole or not at all, the same bytes everywhere, licences with them.

The digests pinned here are the same with Pillow 11.0 and NumPy 2.0 as with Pillow 13.0 and NumPy 2.4.
"""

import hashlib
import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modelatlas.errors import FetchError, InputError
from modelatlas.probe import build_probe, builtin_probes, open_probe
from modelatlas.probe import photos as photos_module
from modelatlas.probe.photos import catalogue

NOISE = "0104d8b219ce093fe94ee09039abd1bf863cde9731241628c405cb1c95d1e87e"
PHOTOS = "b53fb5d8ad793953ec406db111d0ac597062edd7c77771a9d3f3de9c4bbbe05f"


def content(probe):
    """SHA-256 over the pixels of all squares, in the order of the ids."""
    places = sorted(range(len(probe)), key=lambda place: probe.images[place].id)
    digest = hashlib.sha256()
    for place in places:
        digest.update(probe.square(place).tobytes())
    return digest.hexdigest()


def test_noise_is_the_same_everywhere_and_made_once(cache):
    stages = Counter()
    probe = open_probe("noise", progress=lambda stage, *_: stages.update([stage]))
    assert (len(probe), probe.square(0).shape) == (64, (256, 256, 3))
    assert stages == {"building": 64, "reading": 64, "decoding": 64}
    assert content(probe) == NOISE
    stages.clear()
    assert open_probe("noise", progress=lambda stage, *_: stages.update([stage])) == probe
    assert "building" not in stages


def test_noise_has_the_spectrum_of_photographs(cache):
    """Amplitude falls as 1/f: from 4 to 32 cycles a picture, three octaves, to an eighth."""
    probe = open_probe("noise", images=32)
    power = np.zeros((256, 256))
    for place in range(len(probe)):
        grey = probe.square(place).mean(axis=2) - 128
        power += np.abs(np.fft.fft2(grey)) ** 2
    rows, columns = np.meshgrid(np.fft.fftfreq(256) * 256, np.fft.fftfreq(256) * 256, indexing="ij")
    radius = np.rint(np.hypot(rows, columns))
    amplitude = [np.sqrt(power[radius == cycles].mean()) for cycles in (4, 8, 16, 32)]
    slope = np.polyfit(np.log([4, 8, 16, 32]), np.log(amplitude), 1)[0]
    assert -1.25 < slope < -0.75


def test_a_damaged_build_is_made_again(cache):
    probe = open_probe("noise", images=1)
    before = {path.name: path.read_bytes() for path in probe.root.iterdir()}
    probe.images[0].path.write_bytes(b"damaged")
    (probe.root / "noise-07.ppm").unlink(missing_ok=True)
    assert open_probe("noise", images=1) == probe
    assert {path.name: path.read_bytes() for path in probe.root.iterdir()} == before


def test_two_builds_at_once_make_one(cache):
    events, found = [], []

    def open_it():
        found.append(open_probe("noise", progress=lambda stage, *_: events.append(stage)))

    openers = [threading.Thread(target=open_it) for _ in range(4)]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join()
    assert events.count("building") == 64
    assert all(probe == found[0] for probe in found)
    assert [path.name for path in (cache / "probes").iterdir()] == [found[0].root.name]


def test_a_build_that_is_killed_leaves_nothing_that_counts(cache):
    script = (
        "import os, signal\n"
        "from modelatlas.probe import open_probe\n"
        "open_probe('noise', progress=lambda stage, done, total: done == 20 and os.kill(os.getpid(), 9))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], env=os.environ.copy(), check=False)
    assert done.returncode == -9
    assert len(open_probe("noise")) == 64


def test_a_cache_that_cannot_be_written(cache, tmp_path, monkeypatch):
    full = Image.Image.save

    def save(image, path, *rest, **options):
        if "noise-05" in str(path):
            raise OSError(28, "No space left on device")
        full(image, path, *rest, **options)

    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises(FetchError, match=r"noise cannot be written \(No space left on device\); free"):
        open_probe("noise")
    assert list((cache / "probes").iterdir()) == []


def test_the_catalogue_says_origin_and_licence_of_every_photograph():
    photographs = catalogue()["photograph"]
    packages = {package["name"] for package in catalogue()["package"]}
    assert len({photograph["id"] for photograph in photographs}) == len(photographs) >= 40
    assert len({photograph["sha256"] for photograph in photographs}) == len(photographs)
    for photograph in photographs:
        assert photograph["package"] in packages
        assert photograph["licence"]
        assert photograph["title"]
        assert 1 <= len(photograph.get("views") or photograph["panorama"]) <= 6
    assert builtin_probes()["photos"].startswith("122 views")


def test_every_photograph_is_in_the_docs():
    page = Path(__file__).parents[2] / "docs" / "probes.md"
    text = page.read_text(encoding="utf-8")
    for photograph in catalogue()["photograph"]:
        assert f"| {photograph['id']} |" in text
        assert photograph["licence"] in text


def test_packages_that_cannot_be_fetched_are_named(cache, monkeypatch):
    monkeypatch.setattr(photos_module, "_installed", lambda package, photograph: None)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(FetchError, match=r"viser 1\.1\.1: pip could not fetch it"):
        open_probe("photos")
    assert list((cache / "probes").iterdir()) == []


@pytest.fixture
def photos(monkeypatch):
    """The real probe, in the caller's own cache or the checkout's."""
    kept = os.environ.get("MODELATLAS_CACHE") or str(Path(__file__).parents[2] / ".cache" / "modelatlas")
    monkeypatch.setenv("MODELATLAS_CACHE", kept)
    return open_probe("photos")


@pytest.mark.network
def test_photos_are_enough_views_by_photograph(photos):
    assert len(photos) >= 120
    counts = Counter(image.photograph for image in photos.images)
    assert max(counts.values()) <= 6
    assert len(counts) >= 40
    assert len({image.photograph for image in photos.images[: len(counts)]}) == len(counts)
    assert all(image.licence and image.source for image in photos.images)
    assert all(min(image.width, image.height) >= 128 for image in photos.images)


@pytest.mark.network
def test_photos_are_the_same_everywhere(photos):
    assert content(photos) == PHOTOS


@pytest.mark.network
def test_no_view_is_empty_or_twice_in_it(photos):
    small = [
        np.asarray(Image.fromarray(photos.square(place)).convert("L").resize((16, 16)), np.float64)
        for place in range(len(photos))
    ]
    assert min(picture.std() for picture in small) > 3
    centred = [(picture - picture.mean()).ravel() for picture in small]
    unit = np.array([picture / np.linalg.norm(picture) for picture in centred])
    assert (unit @ unit.T - np.eye(len(unit))).max() < 0.97


@pytest.mark.network
def test_views_are_cut_from_the_photographs(photos):
    """Against scikit-image's own way to its pictures."""
    skimage_data = pytest.importorskip("skimage.data")
    at = {image.id: place for place, image in enumerate(photos.images)}
    np.testing.assert_array_equal(photos.square(at["astronaut-1"]), skimage_data.astronaut()[0:256, 96:352])
    np.testing.assert_array_equal(photos.square(at["coffee-1"]), skimage_data.coffee()[60:316, 290:546])
    whole = skimage_data.astronaut().reshape(256, 2, 256, 2, 3).mean(axis=(1, 3))
    # Halving by the bilinear filter weighs a wider neighbourhood than a block mean does.
    assert np.abs(photos.square(at["astronaut-0"]) - whole).mean() < 3


def test_build_writes_squares_manifest_and_licences(pictures, tmp_path):
    source = open_probe(pictures, images=5, seed=2)
    manifest = build_probe(pictures, tmp_path / "new/built", images=5, seed=2)
    assert manifest == tmp_path / "new/built/manifest.json"
    built = open_probe(manifest)
    assert [image.id for image in built.images] == [image.id for image in source.images]
    for place in range(5):
        np.testing.assert_array_equal(built.square(place), source.square(place))
    licences = (manifest.parent / "LICENCES.txt").read_text().splitlines()
    assert licences[0] == f"{source.images[0].id}: the folder pictures; licence not stated"
    assert len(licences) == 5
    assert sorted(path.name for path in manifest.parent.parent.iterdir()) == ["built"]


def test_build_of_noise_keeps_licence_and_order(cache, tmp_path):
    manifest = build_probe("noise", tmp_path / "built", images=3, seed=4)
    built, source = open_probe(manifest), open_probe("noise", images=3, seed=4)
    assert [(image.id, image.licence) for image in built.images] == [
        (image.id, "Apache-2.0") for image in source.images
    ]


def test_build_never_writes_into_what_is_there(pictures, tmp_path):
    with pytest.raises(InputError, match="there is something in it already"):
        build_probe(pictures, pictures)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="there is something in it already"):
        build_probe(pictures, tmp_path / "file")
    with pytest.raises(InputError, match="cannot be written"):
        build_probe(pictures, tmp_path / "file" / "below")
    (tmp_path / "empty").mkdir()
    assert build_probe(pictures, tmp_path / "empty").exists()
