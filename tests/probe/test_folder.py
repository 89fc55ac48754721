"""What counts as a picture of a folder: extensions, hidden files, links, odd names, rights."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelatlas.errors import InputError
from modelatlas.probe import open_probe
from modelatlas.probe.folder import list_pictures, printable


def reasons(probe):
    return {left.item: left.reason for left in probe.left_out}


def ids(probe):
    return {image.id for image in probe.images}


def test_any_depth_any_case_no_hidden_files_no_other_files(tmp_path, draw):
    for number, name in enumerate(("a.png", "B.PNG", "x/y/z/c.Jpeg", "d.webp", "e.f.tiff")):
        draw(tmp_path / name, seed=number)
    for hidden in (".a.png", ".git/b.png", "x/.thumbs/c.png"):
        draw(tmp_path / hidden, seed=9)
    for other in ("README.txt", "labels.csv", "noextension", "x/y/film.mp4", "manifest.json"):
        (tmp_path / other).write_text("not a picture")
    probe = open_probe(tmp_path)
    assert ids(probe) == {"a.png", "B.PNG", "x/y/z/c.Jpeg", "d.webp", "e.f.tiff"}
    assert probe.left_out == ()


def test_every_picture_that_cannot_be_used_is_listed_with_its_reason(tmp_path, draw):
    pixels = draw(tmp_path / "good.png")
    whole = (tmp_path / "good.png").read_bytes()
    draw(tmp_path / "liar.jpg", seed=1)
    (tmp_path / "good.png").rename(tmp_path / "really-a-png.jpg")
    (tmp_path / "empty.png").touch()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("<html>404</html>")
    (tmp_path / "phone.HEIC").write_bytes(b"whatever")
    (tmp_path / "drawing.svg").write_text("<svg/>")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "lost.png").symlink_to("nowhere.png")
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for ever
    probe = open_probe(tmp_path)
    assert ids(probe) == {"really-a-png.jpg", "liar.jpg"}
    at = [image.id for image in probe.images].index("really-a-png.jpg")
    assert (probe.square(at) == pixels[:, 1:10]).all()
    found = reasons(probe)
    assert found.pop("half.png").startswith("truncated or damaged")
    assert found == {
        "empty.png": "the file is empty",
        "text.jpg": "not a picture of a kind that Pillow reads, whatever its name says",
        "phone.HEIC": "Pillow does not read .heic files: convert it to PNG or JPEG",
        "drawing.svg": "Pillow does not read .svg files: convert it to PNG or JPEG",
        "lost.png": "a link to nothing",
        "pipe.png": "not a plain file",
    }


def test_equal_bytes_count_once(pictures):
    shutil.copy(pictures / "01.png", pictures / "00-copy.png")
    shutil.copy(pictures / "01.png", pictures / "zz-copy.png")
    probe = open_probe(pictures, seed=3)
    assert reasons(probe) == {
        "01.png": "same bytes as 00-copy.png",
        "zz-copy.png": "same bytes as 00-copy.png",
    }
    assert (len(probe), probe.pool) == (12, 12)


def test_links_are_followed_once(tmp_path, draw):
    draw(tmp_path / "probe/real/a.png", seed=1)
    draw(tmp_path / "elsewhere/b.png", seed=2)
    draw(tmp_path / "c.png", seed=3)
    (tmp_path / "probe/0-first").symlink_to("real")  # sorts before what it points to
    (tmp_path / "probe/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "probe/file.png").symlink_to(tmp_path / "c.png")
    (tmp_path / "probe/real/up").symlink_to("..")
    (tmp_path / "elsewhere/loop").symlink_to(".")
    probe = open_probe(tmp_path / "probe")
    assert ids(probe) == {"real/a.png", "linked/b.png", "file.png"}
    again = "a link to a folder that is part of the probe already"
    assert reasons(probe) == {"0-first": again, "real/up": again, "linked/loop": again}


def test_odd_names_are_shown_printable_and_still_found(tmp_path, draw):
    names = ["line\nbreak.png", "tab\there.png", 'quo"te.png', "e\N{COMBINING ACUTE ACCENT}.png", "漢字.png"]
    for number, name in enumerate(names):
        draw(tmp_path / name, seed=number)
    probe = open_probe(tmp_path)
    assert ids(probe) == {
        r"line\nbreak.png",
        r"tab\there.png",
        'quo"te.png',
        "é.png",
        "漢字.png",
    }
    for index in range(len(probe)):
        assert probe.square(index).shape == (9, 9, 3)


def test_a_name_that_is_not_utf8_is_left_out(tmp_path, draw):
    draw(tmp_path / "a.png")
    draw(tmp_path / r"stray\udcff.png", seed=1)  # reads as the next one is shown
    for number, name in enumerate((b"stray\xff.png", b"d\xe9/inside.png"), start=2):
        draw(Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)), seed=number)
    probe = open_probe(tmp_path)
    assert ids(probe) == {"a.png", r"stray\udcff.png"}
    reason = "its name is not UTF-8: rename it"
    assert reasons(probe) == {r"stray\udcff.png": reason, r"d\udce9/inside.png": reason}


def test_two_names_that_read_the_same_are_told_apart(tmp_path, draw):
    draw(tmp_path / "a\nb.png", seed=1)
    draw(tmp_path / r"a\nb.png", seed=2)
    probe = open_probe(tmp_path)
    assert (len(probe), reasons(probe)) == (
        1,
        {r"a\nb.png": "another file's name reads the same: rename one of them"},
    )


@given(st.text(st.characters()))
def test_printable_is_printable_and_leaves_plain_names(text):
    shown = printable(text)
    assert shown.isprintable()
    shown.encode("utf-8")
    assert printable(shown) == shown


@pytest.fixture
def nobody(tmp_path, tmp_path_factory):
    """Rights count: the tests may run as root, whom no file refuses."""
    if os.geteuid() != 0:
        yield
        return
    base = tmp_path_factory.getbasetemp()
    above = base.parents[:2] if "PYTEST_XDIST_WORKER" in os.environ else base.parents[:1]
    for folder in (tmp_path, base, *above):  # all of them pytest's own
        folder.chmod(0o755)
    os.seteuid(65534)
    yield
    os.seteuid(0)


def test_files_and_folders_without_permission(tmp_path, draw, request):
    draw(tmp_path / "open.png", seed=1)
    draw(tmp_path / "closed.png", seed=2)
    draw(tmp_path / "shut/inside.png", seed=3)
    (tmp_path / "closed.png").chmod(0)
    (tmp_path / "shut").chmod(0)
    try:
        request.getfixturevalue("nobody")
        probe = open_probe(tmp_path)
        assert ids(probe) == {"open.png"}
        assert reasons(probe) == {
            "closed.png": "the file cannot be read (Permission denied)",
            "shut": "the folder cannot be read (Permission denied)",
        }
        with pytest.raises(InputError, match="the folder cannot be read"):
            open_probe(tmp_path / "shut")
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        (tmp_path / "shut").chmod(0o755)


def test_listing_is_sorted_by_id(pictures):
    found, left_out = list_pictures(pictures)
    assert list(found) == sorted(found)
    assert left_out == []
