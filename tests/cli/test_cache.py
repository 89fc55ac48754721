"""`modelatlas cache`: where, how large, prune."""

import json
from pathlib import Path

import pytest

from modelatlas.cli.app import run
from modelatlas.fetch import cache_folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MODELATLAS_CACHE", str(tmp_path / "cache"))
    (cache_folder("weights", "net") / "w.bin").write_bytes(bytes(2_500_000))
    return tmp_path / "cache"


def test_it_says_where_and_how_large(cache, capsys):
    assert run(["cache"]) == 0
    out = capsys.readouterr().out
    assert f"In {cache}: 2.5 MB" in " ".join(out.split())
    assert "weights/net" in out


def test_json(cache, capsys):
    assert run(["cache", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "root": str(cache),
        "entries": [{"name": "weights/net", "bytes": 2_500_000}],
        "bytes": 2_500_000,
    }


def test_prune_removes_what_is_old_enough(cache, capsys):
    assert run(["cache", "--prune", "--older-than", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["removed"] == []
    assert (cache / "weights" / "net" / "w.bin").exists()
    assert run(["cache", "--prune"]) == 0
    assert "Removed from" in capsys.readouterr().out
    assert not (cache / "weights" / "net").exists()


def test_an_empty_cache_is_fine(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MODELATLAS_CACHE", str(tmp_path / "absent"))
    for words in (["cache"], ["cache", "--prune"]):
        assert run(words) == 0
        assert "0.0 MB" in capsys.readouterr().out
