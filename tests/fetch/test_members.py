"""Members of remote archives: as Python's own unpacking gives them, in fewer bytes, resumed, checked."""

import os
from pathlib import Path

import pytest

from modelatlas.errors import FetchError
from modelatlas.fetch import fetch_members
from range_server import packed, range_server

pytestmark = pytest.mark.filterwarnings("ignore:.* is fetched over http:UserWarning")  # it is, on purpose

FILES = {f"val/{number:03d}.jpg": os.urandom(40_000 + 7 * number) for number in range(40)}
WANTED = frozenset(f"{number:03d}" for number in (2, 3, 17, 30))


@pytest.fixture
def server(cache):
    with range_server() as state:
        yield state


def identify(name):
    return Path(name).stem if name.endswith(".jpg") else None


def fetch(server, kind, dest, wanted=WANTED, **options):
    return fetch_members(
        f"{server.url}/a.{kind}",
        dest,
        kind=kind,
        identify=identify,
        wanted=wanted,
        allow_http=True,
        **{"max_bytes": 100_000} | options,
    )


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_the_wanted_ones_arrive_as_they_are(server, kind, tmp_path):
    server.files[f"/a.{kind}"] = packed(kind, FILES)
    seen = []
    found = fetch(server, kind, tmp_path / "out", progress=seen.append)
    assert set(found) == WANTED
    for key, path in found.items():
        assert path == tmp_path / "out" / f"val/{key}.jpg"
        assert path.read_bytes() == FILES[f"val/{key}.jpg"]
    assert seen[-1] == len(WANTED)
    assert {path.name for path in (tmp_path / "out/val").iterdir()} == {f"{key}.jpg" for key in WANTED}


def test_of_a_zip_file_little_more_than_the_members_is_sent(server, tmp_path, monkeypatch):
    monkeypatch.setattr("modelatlas.fetch.members._ZIP_SPAN", 50_000)
    server.files["/a.zip"] = packed("zip", FILES)
    fetch(server, "zip", tmp_path)
    assert server.sent < len(server.files["/a.zip"]) / 3


def test_of_a_tar_file_nothing_after_the_last_member(server, tmp_path, monkeypatch):
    monkeypatch.setattr("modelatlas.fetch.members._TAR_SPAN", 50_000)
    server.files["/a.tar"] = packed("tar", FILES)
    fetch(server, "tar", tmp_path, wanted=frozenset({"002"}))
    assert server.sent < 4 * 50_000


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_stopped_run_goes_on(server, kind, tmp_path, monkeypatch):
    monkeypatch.setattr("modelatlas.fetch.members._ZIP_SPAN", 50_000)
    monkeypatch.setattr("modelatlas.fetch.members._TAR_SPAN", 50_000)
    server.files[f"/a.{kind}"] = packed(kind, FILES)

    def stop_after_three(done):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(server, kind, tmp_path, progress=stop_after_three)
    server.sent = 0
    seen = []
    found = fetch(server, kind, tmp_path, progress=seen.append)
    assert {key: path.read_bytes() for key, path in found.items()} == {
        key: FILES[f"val/{key}.jpg"] for key in WANTED
    }
    whole = len(server.files[f"/a.{kind}"])
    assert server.sent < whole / 2, "what the first run brought was sent again"
    server.sent = 0
    fetch(server, kind, tmp_path)
    assert server.sent < whole / 20


@pytest.mark.parametrize("changed", ["archive", "choice", "file"])
def test_a_tar_file_is_read_anew_where_the_position_no_longer_holds(server, changed, tmp_path):
    server.files["/a.tar"] = packed("tar", FILES)
    fetch(server, "tar", tmp_path, wanted=frozenset({"017"}))
    wanted = frozenset({"002", "017"} if changed == "choice" else {"017"})
    if changed == "archive":
        server.etag = '"2"'
    elif changed == "file":
        (tmp_path / "val/017.jpg").unlink()
    found = fetch(server, "tar", tmp_path, wanted=wanted)
    assert {key: path.read_bytes() for key, path in found.items()} == {
        key: FILES[f"val/{key}.jpg"] for key in wanted
    }


def test_what_the_archive_does_not_hold_is_not_there(server, tmp_path):
    for kind in ("zip", "tar"):
        server.files[f"/a.{kind}"] = packed(kind, FILES)
        assert set(fetch(server, kind, tmp_path / kind, wanted=frozenset({"002", "999"}))) == {"002"}


def test_a_flipped_byte_in_a_zip_file_is_noticed(server, tmp_path):
    content = bytearray(packed("zip", FILES))
    content[content.index(FILES["val/002.jpg"][100:120])] ^= 1
    server.files["/a.zip"] = bytes(content)
    with pytest.raises(FetchError, match="cannot be read as an archive"):
        fetch(server, "zip", tmp_path)
    assert list(tmp_path.rglob("*.jpg")) == []


def test_other_bytes_than_at_the_first_time_are_refused(server, tmp_path):
    server.files["/a.tar"] = packed("tar", FILES)
    fetch(server, "tar", tmp_path / "first")
    server.files["/a.tar"] = packed("tar", FILES | {"val/002.jpg": b"other"})
    server.etag = '"2"'
    with pytest.raises(FetchError, match="recorded at the first download"):
        fetch(server, "tar", tmp_path / "second")
    assert list((tmp_path / "second").rglob("*.jpg")) == []


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_hostile_archives(server, kind, tmp_path):
    server.files[f"/a.{kind}"] = packed(kind, {"../002.jpg": b"x"})
    with pytest.raises(FetchError, match="leads out of the archive"):
        fetch(server, kind, tmp_path / "in")
    assert not (tmp_path / "002.jpg").exists()
    server.files[f"/a.{kind}"], server.etag = packed(kind, FILES), '"2"'
    with pytest.raises(FetchError, match="unpacks to more than 999 bytes"):
        fetch(server, kind, tmp_path / "in", max_bytes=999)
    server.files[f"/a.{kind}"], server.etag = os.urandom(5000), '"3"'
    with pytest.raises(FetchError, match="cannot be read as an archive"):
        fetch(server, kind, tmp_path / "in")
