"""A remote file read by spans has the bytes of the file, whatever is read in whatever order."""

import io
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelatlas.errors import FetchError
from modelatlas.fetch.ranges import RemoteFile
from range_server import range_server

pytestmark = pytest.mark.filterwarnings("ignore:.* is fetched over http:UserWarning")  # it is, on purpose

CONTENT = bytes(range(256)) * 30


@pytest.fixture(scope="module")
def server():
    with range_server() as state:
        state.files["/a"] = CONTENT
        yield state


@pytest.fixture(autouse=True)
def _sound(server):
    server.etag, server.ranges, server.breaks, server.files["/a"] = '"1"', True, 0, CONTENT
    server.asked.clear()


def remote(server, path="/a"):
    return RemoteFile(server.url + path, allow_http=True)


@settings(max_examples=40)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, len(CONTENT) + 50), st.sampled_from([0, 1, 2]), st.integers(0, 400)),
        max_size=6,
    ),
    buffered=st.booleans(),
)
def test_it_reads_as_the_same_bytes_in_memory_do(server, steps, buffered):
    far, near = remote(server), io.BytesIO(CONTENT)
    stream = io.BufferedReader(far, 64) if buffered else far
    for offset, whence, size in steps:
        signed = -offset if whence == os.SEEK_END else offset
        if near.seek(max(signed, -len(CONTENT)), whence) > len(CONTENT) + 100:
            near.seek(0)
        stream.seek(near.tell())
        assert stream.read(size) == near.read(size)
        assert stream.tell() == near.tell()


def test_what_breaks_off_is_asked_for_from_there_on(server):
    far = remote(server)
    server.breaks = 2
    assert far.read(800) == CONTENT[:800]
    assert server.asked[1:] == ["bytes=0-799", "bytes=400-799", "bytes=600-799"]
    server.breaks = 3
    with pytest.raises(FetchError, match="broke off 3 times"):
        far.read(800)


def test_a_file_that_changes_is_not_mixed_with_the_new_one(server):
    far = remote(server)
    server.etag = '"2"'
    with pytest.raises(FetchError, match="has changed on its server"):
        far.read(10)


def test_a_server_without_ranges_is_told_from_one_with(server):
    server.ranges = False
    with pytest.raises(FetchError, match=r"whole files only.*--from FILE"):
        remote(server)


def test_no_such_file_an_empty_one_and_no_https(server):
    with pytest.raises(FetchError, match="answered 404"):
        remote(server, "/b")
    server.files["/a"] = b""
    with pytest.raises(FetchError, match="is empty"):
        remote(server)
    with pytest.raises(FetchError, match="only https"):
        RemoteFile(server.url + "/a")
