"""Downloads against a real HTTP server: whatever goes wrong, no half file takes the place of a whole one."""

import errno
import hashlib
import multiprocessing
import os
import urllib.request
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelatlas.errors import FetchError
from modelatlas.fetch import download

pytestmark = pytest.mark.filterwarnings("ignore:.* is fetched over http:UserWarning")  # it is, on purpose

CONTENT = bytes(range(256)) * 4000  # 1 MB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def get(origin, dest: Path, **options) -> Path:
    return download(origin.url, dest, **{"max_bytes": 2_000_000, "allow_http": True} | options)


def leftovers(dest: Path) -> set[str]:
    return {path.name for path in dest.parent.iterdir()} - {dest.name, "cache"}


def test_a_file_arrives_whole_and_alone(origin, tmp_path):
    origin.content = CONTENT
    dest = tmp_path / "weights.bin"
    seen = []
    assert get(origin, dest, sha256=SHA256, progress=lambda done, total: seen.append((done, total))) == dest
    assert dest.read_bytes() == CONTENT
    assert leftovers(dest) == set()
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)


def test_what_is_there_is_not_fetched_again(origin, tmp_path):
    origin.content = CONTENT
    for _ in range(3):
        get(origin, tmp_path / "weights.bin")
    assert len(origin.ranges) == 1


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(breaks=st.integers(0, 2), length=st.integers(2, 700_000), seed=st.integers(0, 255))
def test_a_transfer_that_breaks_off_is_resumed_to_the_same_bytes(origin, tmp_path, breaks, length, seed):
    content = hashlib.shake_128(bytes([seed])).digest(length)
    origin.content, origin.breaks, origin.etag = content, breaks, f'"{seed}-{length}-{breaks}"'
    origin.ranges.clear()
    dest = tmp_path / f"{seed}-{length}-{breaks}.bin"
    dest.unlink(missing_ok=True)
    get(origin, dest, sha256=hashlib.sha256(content).hexdigest())
    assert dest.read_bytes() == content
    assert len(origin.ranges) == breaks + 1


def test_a_second_call_goes_on_where_the_first_broke_off(origin, tmp_path):
    origin.content, origin.breaks = CONTENT, 3
    dest = tmp_path / "weights.bin"
    with pytest.raises(FetchError, match=r"broke off 3 times .* run again"):
        get(origin, dest)
    assert not dest.exists()
    kept = (tmp_path / "weights.bin.part").stat().st_size
    assert kept == len(CONTENT) * 7 // 8
    get(origin, dest, sha256=SHA256)
    assert origin.ranges[-1] == f"bytes={kept}-"
    assert dest.read_bytes() == CONTENT


def test_the_rest_of_another_version_is_never_glued_on(origin, tmp_path):
    origin.content, origin.breaks = CONTENT, 3
    dest = tmp_path / "weights.bin"
    with pytest.raises(FetchError):
        get(origin, dest)
    origin.content, origin.etag = CONTENT[::-1], '"2"'
    get(origin, dest)
    assert dest.read_bytes() == CONTENT[::-1]


def test_without_a_validator_the_transfer_begins_anew(origin, tmp_path):
    origin.content, origin.breaks, origin.etag = CONTENT, 1, None
    get(origin, tmp_path / "weights.bin", sha256=SHA256)
    assert origin.ranges == [None, None]


def test_a_part_longer_than_the_file_is_thrown_away(origin, tmp_path):
    origin.content = CONTENT
    dest = tmp_path / "weights.bin"
    (tmp_path / "weights.bin.part").write_bytes(CONTENT + b"more")
    (tmp_path / "weights.bin.part.validator").write_text('"1"')
    get(origin, dest, sha256=SHA256)
    assert dest.read_bytes() == CONTENT


def test_no_resume_begins_anew(origin, tmp_path):
    origin.content, origin.breaks = CONTENT, 3
    with pytest.raises(FetchError):
        get(origin, tmp_path / "weights.bin")
    get(origin, tmp_path / "weights.bin", resume=False)
    assert origin.ranges[-1] is None


@pytest.mark.parametrize("status", [404, 403, 500])
def test_an_error_status_is_named(origin, tmp_path, status):
    origin.status = status
    with pytest.raises(FetchError, match=f"the server answered {status} .*--from FILE"):
        get(origin, tmp_path / "weights.bin")
    assert not (tmp_path / "weights.bin").exists()


def test_a_web_page_is_not_a_file(origin, tmp_path):
    origin.content, origin.content_type = b"<!doctype html><p>log in</p>", "text/html; charset=utf-8"
    with pytest.raises(FetchError, match="sent a web page"):
        get(origin, tmp_path / "weights.bin")
    assert leftovers(tmp_path / "weights.bin") == set()


@pytest.mark.parametrize("announces", [True, False])
def test_what_is_too_large_is_refused(origin, tmp_path, announces):
    origin.content, origin.announces_length = CONTENT, announces
    with pytest.raises(FetchError, match="larger than the limit of 1000 bytes"):
        get(origin, tmp_path / "weights.bin", max_bytes=1000)
    assert leftovers(tmp_path / "weights.bin") == set()


def test_another_checksum_is_refused_and_the_file_removed(origin, tmp_path):
    origin.content = CONTENT + b"!"
    with pytest.raises(FetchError, match=f"not {SHA256} as stated by its card"):
        get(origin, tmp_path / "weights.bin", sha256=SHA256)
    assert leftovers(tmp_path / "weights.bin") == set()
    assert not (tmp_path / "weights.bin").exists()


def test_the_first_checksum_is_recorded_and_must_hold(origin, tmp_path, cache):
    origin.content = CONTENT
    get(origin, tmp_path / "weights.bin")
    (tmp_path / "weights.bin").unlink()
    origin.content, origin.etag = CONTENT[::-1], '"2"'
    with pytest.raises(FetchError, match="recorded at the first download"):
        get(origin, tmp_path / "weights.bin")


def test_only_https_is_asked(origin, tmp_path):
    with pytest.raises(FetchError, match="only https"):
        download(origin.url, tmp_path / "x", max_bytes=10)
    with pytest.raises(FetchError, match="only https"):
        download("file:///etc/hostname", tmp_path / "x", max_bytes=10, allow_http=True)
    assert origin.ranges == []


def test_http_is_warned_of(origin, tmp_path):
    origin.content = CONTENT
    with pytest.warns(UserWarning, match="anybody on the way can change it"):
        get(origin, tmp_path / "weights.bin")


def test_https_never_leads_to_http():
    from modelatlas.fetch.request import _SameSchemeRedirects

    request = urllib.request.Request("https://example.org/weights.bin")
    with pytest.raises(FetchError, match="which is not https"):
        _SameSchemeRedirects().redirect_request(
            request, None, 302, "Found", {}, "http://example.org/weights.bin"
        )


def test_a_redirect_is_followed(origin, tmp_path):
    origin.content, origin.status, origin.location = b"x", 302, "/weights.bin"
    with pytest.raises(FetchError, match="302"):  # it leads to itself: urllib stops the loop
        get(origin, tmp_path / "weights.bin")


def test_no_network_is_said(tmp_path, cache):
    closed = "http://127.0.0.1:9/weights.bin"  # the discard port: nobody listens
    with pytest.raises(FetchError, match=r"cannot reach 127.0.0.1:9 .*check the network"):
        download(closed, tmp_path / "weights.bin", max_bytes=10, allow_http=True)


def test_a_full_disk_is_said_and_the_place_stays_free(origin, tmp_path, monkeypatch):
    origin.content = CONTENT

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("modelatlas.fetch.http.os.replace", full)
    with pytest.raises(FetchError, match=r"No space left on device.*free space"):
        get(origin, tmp_path / "weights.bin", sha256=SHA256)
    assert not (tmp_path / "weights.bin").exists()


def _fetch_in_process(url: str, dest: str, results) -> None:
    results.put(download(url, Path(dest), max_bytes=2_000_000, allow_http=True).read_bytes() == CONTENT)


def test_two_processes_fetch_one_thing_once(origin, tmp_path):
    origin.content, origin.delay = CONTENT, 0.3
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    dest = str(tmp_path / "weights.bin")
    both = [context.Process(target=_fetch_in_process, args=(origin.url, dest, results)) for _ in range(2)]
    for process in both:
        process.start()
    assert [results.get(timeout=60) for _ in both] == [True, True]
    for process in both:
        process.join(timeout=60)
        assert process.exitcode == 0
    assert len(origin.ranges) == 1
