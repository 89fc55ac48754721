"""The cache: where it is, what is in it, and that pruning removes nothing else."""

import os
import time
from pathlib import Path

import platformdirs
import pytest

from modelatlas.errors import FetchError, InputError
from modelatlas.fetch import cache_entries, cache_folder, cache_root, prune


def put(*parts: str, size: int, age_days: float = 0.0) -> Path:
    file = cache_folder(*parts[:-1]) / parts[-1]
    file.write_bytes(bytes(size))
    then = time.time() - age_days * 86_400
    os.utime(file, (then, then))
    return file


def test_the_environment_chooses_the_root(cache, monkeypatch):
    assert cache_root() == cache
    monkeypatch.delenv("MODELATLAS_CACHE")
    assert cache_root() == platformdirs.user_cache_path("modelatlas")
    monkeypatch.setenv("MODELATLAS_CACHE", "~/models")
    assert cache_root() == Path.home() / "models"


def test_an_absent_cache_is_empty_and_not_made(cache):
    assert cache_entries() == []
    assert prune() == []
    assert not cache.exists()


def test_entries_are_packages_and_files_largest_first(cache):
    put("archives", "pypi", "a-1", "a.whl", size=10)
    put("archives", "npm", "b-2", "b.tgz", size=30)
    put("weights", "c", "one.bin", size=15)
    put("weights", "c", "two.bin", size=5)
    put("checksums", "x.json", size=99)
    entries = cache_entries()
    assert [(entry.name, entry.bytes) for entry in entries] == [
        ("archives/npm/b-2", 30),
        ("weights/c", 20),
        ("archives/pypi/a-1", 10),
    ]


def test_pruning_keeps_checksums_and_what_is_young(cache):
    old = put("weights", "old", "w.bin", size=5, age_days=40)
    young = put("weights", "young", "w.bin", size=5)
    record = put("checksums", "x.json", size=9, age_days=400)
    assert [entry.name for entry in prune(older_than_days=30)] == ["weights/old"]
    assert not old.exists()
    assert young.exists()
    assert [entry.name for entry in prune()] == ["weights/young"]
    assert record.exists()
    assert cache_entries() == []


def test_a_folder_that_is_no_cache_is_not_pruned(tmp_path, monkeypatch):
    home = tmp_path / "home"
    (home / "photos" / "2024").mkdir(parents=True)
    (home / "photos" / "2024" / "a.jpg").write_bytes(b"x")
    monkeypatch.setenv("MODELATLAS_CACHE", str(home))
    cache_folder("weights")  # used as a cache by mistake: it is still not ours
    with pytest.raises(InputError, match=r"does not look like a cache .* nothing was removed"):
        prune()
    assert (home / "photos" / "2024" / "a.jpg").exists()


def test_a_link_is_removed_and_not_what_it_points_to(cache, tmp_path):
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / "keep.bin").write_bytes(b"x")
    (cache_folder("weights") / "link").symlink_to(target)
    prune()
    assert (target / "keep.bin").exists()
    assert cache_entries() == []


def test_a_root_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MODELATLAS_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(FetchError, match=r"cannot be made .* set MODELATLAS_CACHE"):
        cache_folder("weights")
