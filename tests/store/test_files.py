import errno
import os
from contextlib import contextmanager
from pathlib import Path

import pytest

from chartable import largest_file
from modelatlas.errors import StoreError
from modelatlas.run.preparation import existing_document
from modelatlas.store import read_document, sweep, write_bytes, write_text

NOBODY = 65534


@contextmanager
def without_rights(folder, *, left=0o555):
    """As a user who may read the folder but not write to it, or what is left."""
    mode = folder.stat().st_mode
    folder.chmod(left)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(mode)


def test_what_is_written_is_there(tmp_path):
    write_text(tmp_path / "new" / "a.csv", "ü,1\n")
    assert (tmp_path / "new" / "a.csv").read_bytes() == "ü,1\n".encode()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.csv"]


def test_a_full_disk_leaves_the_old_file_and_no_temporary_one(tmp_path):
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")
    with (
        largest_file(1000),
        pytest.raises(StoreError, match=r"cannot write .*a\.bin.*ulimit -f.*is kept") as caught,
    ):
        write_bytes(path, bytes(5000))
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EFBIG
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.bin": b"old"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_named_as_such(tmp_path):
    """A folder whose temporary file is /dev/full, the device on which every write finds no space."""
    (tmp_path / f".a.bin.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(StoreError, match=r"No space left on device.*free some disk space"):
        write_bytes(tmp_path / "a.bin", b"new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("read", [read_document, existing_document])
def test_an_atlas_that_may_not_be_read_is_named_with_the_remedy(tmp_path, read):
    (tmp_path / "atlas.json").write_text("{}")
    with (
        without_rights(tmp_path, left=0),
        pytest.raises(StoreError, match=r"^cannot read .*: Permission denied.*the right to read there"),
    ):
        read(tmp_path)


def test_a_folder_without_rights_is_named_with_the_remedy(tmp_path):
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    with without_rights(tmp_path), pytest.raises(StoreError, match=r"Permission denied.*--out"):
        write_text(tmp_path / "a.csv", "")
    assert list(tmp_path.iterdir()) == []


def test_sweeping_removes_what_died_and_nothing_else(tmp_path):
    deep = tmp_path / "maps.zarr" / "c"
    deep.mkdir(parents=True)
    names = [".atlas.json.123.tmp", "0.3f2a.partial", "0", "atlas.json"]
    for name in names:
        (deep / name).write_text("")
    sweep(tmp_path)
    assert sorted(path.name for path in deep.iterdir()) == ["0", "atlas.json"]
