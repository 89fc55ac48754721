"""What doctor finds, in this environment and in a broken one."""

import json
from importlib import metadata
from pathlib import Path

import pytest

from modelatlas.cli.app import run


def findings(capfd: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    assert run(["doctor", "--json"]) == 0
    return {row["subject"]: row for row in json.loads(capfd.readouterr().out)["findings"]}


def test_it_reports_what_is_installed(capfd: pytest.CaptureFixture[str]) -> None:
    found = findings(capfd)
    assert found["numpy"]["detail"] == metadata.version("numpy")
    assert found["timm [timm]"]["state"] == "ok"
    assert found["cpu"]["state"] == "ok"
    assert not [row for row in found.values() if row["state"] == "problem"]


def test_a_missing_extra_is_no_problem_and_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    known = metadata.version

    def version(name: str) -> str:
        if name in ("timm", "zarr"):
            raise metadata.PackageNotFoundError(name)
        return "1.0" if name == "numpy" else known(name)

    monkeypatch.setattr(metadata, "version", version)
    found = findings(capfd)
    assert (found["timm [timm]"]["state"], found["zarr"]["state"]) == ("missing", "problem")
    assert "modelatlas[timm]" in found["timm [timm]"]["remedy"]
    assert found["numpy"]["state"] == "problem"
    assert ">=2.0" in found["numpy"]["detail"]


def test_a_cache_that_cannot_be_written_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.setenv("MODELATLAS_CACHE", str(tmp_path))
    found = findings(capfd)
    assert found["cache"]["state"] == "problem"
    assert "MODELATLAS_CACHE" in found["cache"]["remedy"]
