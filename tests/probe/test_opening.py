"""Order, prefix, digest: which images a probe takes, and when two probes are the same."""

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelatlas.errors import InputError, ProbeError
from modelatlas.probe import ProbeImage, open_probe
from modelatlas.probe.opening import in_seed_order


def image(name, photograph=None):
    return ProbeImage(name, Path(name), "0" * 64, 1, 1, 1, photograph=photograph)


names = st.lists(st.text("abc012/.", min_size=1, max_size=6), unique=True, max_size=30)


@given(names, st.integers(0, 2**32 - 1), st.randoms())
def test_the_order_is_a_permutation_that_depends_on_names_and_seed_alone(found, seed, random):
    pool = [image(name) for name in found]
    shuffled = random.sample(pool, len(pool))
    ordered = in_seed_order(pool, seed=seed)
    assert sorted(ordered, key=lambda one: one.id) == sorted(pool, key=lambda one: one.id)
    assert in_seed_order(shuffled, seed=seed) == ordered


@given(names.filter(bool), st.integers(0, 2**32 - 1))
def test_one_image_more_does_not_change_the_order_of_the_others(found, seed):
    pool = [image(name) for name in found]
    fewer = in_seed_order(pool[1:], seed=seed)
    assert [one for one in in_seed_order(pool, seed=seed) if one != pool[0]] == fewer


def test_seeds_give_different_orders_and_every_image_its_turn_in_front():
    pool = [image(f"{number:02d}") for number in range(8)]
    first = [in_seed_order(pool, seed=seed)[0].id for seed in range(400)]
    counts = np.unique(first, return_counts=True)[1]
    assert len(counts) == 8
    # 400 draws of 8: expected 50 each; chi-squared with 7 degrees of freedom is below 24.3 with 99.9 %.
    assert ((counts - 50) ** 2 / 50).sum() < 24.3


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=30),
    st.integers(0, 2**32 - 1),
)
def test_photographs_take_turns(photographs, seed):
    pool = [image(f"{number}", photograph=f"p{which}") for number, which in enumerate(photographs)]
    order = [one.photograph for one in in_seed_order(pool, seed=seed)]
    # No photograph is shown again before every other that is not used up has been shown as often.
    for place, here in enumerate(order):
        before = order[:place]
        assert all(before.count(here) <= before.count(other) for other in set(order[place:]))


def test_the_first_images_are_a_prefix_and_the_digest_stays(pictures):
    whole = open_probe(pictures, seed=5)
    for count in (1, 5, 12):
        part = open_probe(pictures, images=count, seed=5)
        assert part.images == whole.images[:count] == whole.take(count).images
        assert part.digest == whole.digest == whole.take(count).digest
    assert open_probe(pictures, images=100, seed=5).images == whole.images
    other = open_probe(pictures, seed=6)
    assert [one.id for one in other.images] != [one.id for one in whole.images]
    assert other.digest != whole.digest


def test_the_first_usable_images_are_taken(pictures):
    order = [one.id for one in open_probe(pictures, seed=1).images]
    for bad in (order[1], order[3], order[8]):
        (pictures / bad).write_bytes(b"\x89PNG\r\n\x1a\n" + bad.encode())
    probe = open_probe(pictures, images=4, seed=1)
    assert [one.id for one in probe.images] == [order[place] for place in (0, 2, 4, 5)]
    assert [left.item for left in probe.left_out] == [order[1], order[3]]  # not the one behind
    assert probe.pool == 12
    longer = open_probe(pictures, images=8, seed=1)
    assert longer.images[:4] == probe.images
    assert longer.digest == probe.digest


def test_content_names_and_number_are_in_the_digest(pictures, draw):
    digests = [open_probe(pictures).digest]
    draw(pictures / "05.png", seed=99)
    digests.append(open_probe(pictures).digest)
    (pictures / "05.png").rename(pictures / "05b.png")
    digests.append(open_probe(pictures).digest)
    (pictures / "05b.png").unlink()
    digests.append(open_probe(pictures).digest)
    assert len(set(digests)) == 4
    assert open_probe(pictures).digest == digests[-1]
    assert open_probe(pictures, images=1).digest == digests[-1]


def test_what_an_image_says_of_itself(pictures, draw):
    pixels = draw(pictures / "wide.png", seed=7, size=(40, 21))
    (wide,) = [one for one in open_probe(pictures).images if one.id == "wide.png"]
    data = (pictures / "wide.png").read_bytes()
    assert (wide.width, wide.height, wide.bytes) == (40, 21, len(data))
    assert wide.sha256 == hashlib.sha256(data).hexdigest()
    probe = open_probe(pictures)
    np.testing.assert_array_equal(probe.square(probe.images.index(wide)), pixels[:, 9:30])


def test_a_file_that_changes_under_an_open_probe_is_noticed(pictures, draw):
    probe = open_probe(pictures)
    draw(probe.images[2].path, seed=1000)
    with pytest.raises(ProbeError, match="has changed since the probe was opened") as caught:
        probe.square(2)
    assert caught.value.image == probe.images[2].id
    probe.images[3].path.unlink()
    with pytest.raises(ProbeError, match="the file is missing"):
        probe.square(3)
    probe.square(4)


def test_a_probe_travels_to_another_process(pictures):
    probe = open_probe(pictures, images=3)
    copy = pickle.loads(pickle.dumps(probe))
    assert copy == probe
    np.testing.assert_array_equal(copy.square(1), probe.square(1))


def test_progress_is_told(pictures):
    told = []
    open_probe(pictures, images=5, progress=lambda *event: told.append(event))
    assert told == [("reading", n, 12) for n in range(1, 13)] + [("decoding", n, 5) for n in range(1, 6)]


def test_what_is_no_probe(tmp_path, pictures, draw):
    with pytest.raises(InputError, match="did you mean photos"):
        open_probe("photo")
    with pytest.raises(InputError, match="or built-in probe of that name; built in: photos"):
        open_probe(tmp_path / "absent")
    with pytest.raises(InputError, match="no folder, manifest"):
        open_probe(Path("noise"))  # a path is never a built-in name
    with pytest.raises(InputError, match="the probe has no name"):
        open_probe("")
    with pytest.raises(InputError, match="the probe cannot be read"):
        open_probe("x" * 300)
    with pytest.raises(InputError, match="0 images were asked for"):
        open_probe(pictures, images=0)
    for images in (2.5, "2", True, -1):
        said = f"^{images!r} images were asked for: give a whole number of at least 1$"
        with pytest.raises(InputError, match=said):
            open_probe(pictures, images=images)
        with pytest.raises(InputError, match=said):
            open_probe(pictures).take(images)
    assert len(open_probe(pictures, images=np.int64(2)).take(np.int64(1))) == 1
    with pytest.raises(InputError, match="neither a folder of pictures nor a manifest"):
        open_probe(pictures / "01.png")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="no file with a picture's extension"):
        open_probe(tmp_path / "nothing")
    (tmp_path / "nothing" / "bad.png").write_bytes(b"bad")
    with pytest.raises(InputError, match=r"none of its 1 pictures can be used \(the first: bad.png: not"):
        open_probe(tmp_path / "nothing")
    with pytest.raises(InputError, match="13 images were asked of the probe pictures, which has 12"):
        open_probe(pictures).take(13)
