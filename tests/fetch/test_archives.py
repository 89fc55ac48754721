"""Archives that lie (names that lead out, links, devices, bombs, damage): only wanted files come out."""

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelatlas.errors import FetchError
from modelatlas.fetch import archive_members, extract_member, extract_members

CONTENT = b"weights" * 1000
KINDS = ("zip", "tar", "tar.gz", "tar.xz", "deb")


def make(path: Path, files: dict[str, bytes], kind: str) -> Path:
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path
    compression = {"tar": "", "tar.gz": "gz", "tar.xz": "xz", "deb": "xz"}[kind]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    path.write_bytes(as_deb(buffer.getvalue()) if kind == "deb" else buffer.getvalue())
    return path


def as_deb(data: bytes) -> bytes:
    """An ar archive as deb(5) describes it; `dpkg-deb` reads the same."""

    def member(name: str, content: bytes) -> bytes:
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        return header + content + b"\n" * (len(content) % 2)

    return (
        b"!<arch>\n"
        + member("debian-binary", b"2.0\n")
        + member("control.tar.xz", b"odd")
        + member("data.tar.xz", data)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_one_file_comes_out_and_nothing_else(tmp_path, kind):
    archive = make(tmp_path / "a", {"./pkg/other.py": b"raise SystemExit", "./pkg/w.bin": CONTENT}, kind)
    assert {name.removeprefix("./") for name in archive_members(archive)} == {"pkg/other.py", "pkg/w.bin"}
    dest = tmp_path / "out" / "w.bin"
    extract_member(
        archive, "pkg/w.bin", dest, sha256=hashlib.sha256(CONTENT).hexdigest(), max_bytes=len(CONTENT)
    )
    assert dest.read_bytes() == CONTENT
    assert [path.name for path in dest.parent.iterdir()] == ["w.bin"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_unpacks_to_more_than_the_limit_is_refused(tmp_path, kind):
    archive = make(tmp_path / "bomb", {"w.bin": bytes(5_000_000)}, kind)
    dest = tmp_path / "out" / "w.bin"
    with pytest.raises(FetchError, match="unpacks to more than 1000 bytes"):
        extract_member(archive, "w.bin", dest, max_bytes=1000)
    assert list(dest.parent.iterdir()) == []


def test_a_zip_whose_table_understates_its_size_is_still_counted(tmp_path):
    archive = make(tmp_path / "bomb.zip", {"w.bin": bytes(5_000_000)}, "zip")
    raw = bytearray(archive.read_bytes())
    central = raw.rfind(b"PK\x01\x02")
    raw[central + 24 : central + 28] = (10).to_bytes(4, "little")  # uncompressed size
    archive.write_bytes(raw)
    with pytest.raises(FetchError, match="cannot be read as an archive"):  # zipfile stops there: a wrong CRC
        extract_member(archive, "w.bin", tmp_path / "w.bin", max_bytes=1_000_000)
    assert not (tmp_path / "w.bin").exists()


@pytest.mark.parametrize("name", ["../w.bin", "/w.bin", "a/../../w.bin", "C:w.bin", "a\\..\\w.bin"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_name_that_leads_out_is_refused(tmp_path, name, kind):
    archive = make(tmp_path / "a", {name: CONTENT}, kind)
    for call in (
        lambda: extract_member(archive, name, tmp_path / "in" / "w.bin", max_bytes=10_000),
        lambda: extract_members(archive, tmp_path / "in", members={name}, max_bytes=10_000),
    ):
        with pytest.raises(FetchError, match="leads out of the archive"):
            call()
    assert {path.name for path in tmp_path.rglob("*")} <= {"a", "in"}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text("ab./\\: ", min_size=1, max_size=12).filter(lambda name: name.strip("./ ")))
def test_no_name_writes_outside_the_folder(tmp_path, name):
    root = tmp_path / hashlib.sha256(name.encode()).hexdigest()
    root.mkdir(exist_ok=True)
    archive = make(root / "archive", {name: CONTENT}, "tar")
    inside = root / "inside"
    try:
        written = extract_members(archive, inside, members={name}, max_bytes=10_000)
    except FetchError:
        written = []
    assert all(inside in path.parents for path in written)
    assert {path.name for path in root.iterdir()} <= {"archive", "inside"}


def test_links_and_devices_are_no_files(tmp_path):
    archive = tmp_path / "a.tar"
    secret = tmp_path / "secret"
    secret.write_text("x")
    with tarfile.open(archive, "w") as opened:
        for name, kind, target in (
            ("soft", tarfile.SYMTYPE, str(secret)),
            ("hard", tarfile.LNKTYPE, "soft"),
            ("dev", tarfile.CHRTYPE, ""),
            ("fifo", tarfile.FIFOTYPE, ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            opened.addfile(info)
    assert archive_members(archive) == []
    for name in ("soft", "hard", "dev", "fifo"):
        with pytest.raises(FetchError, match="no plain file"):
            extract_member(archive, name, tmp_path / "out", max_bytes=10)


def test_a_link_in_a_zip_is_no_file(tmp_path):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        info = zipfile.ZipInfo("soft")
        info.external_attr = 0o120777 << 16
        opened.writestr(info, "/etc/hostname")
    with pytest.raises(FetchError, match="no plain file"):
        extract_member(archive, "soft", tmp_path / "out", max_bytes=100)


def test_another_checksum_is_refused(tmp_path):
    archive = make(tmp_path / "a.zip", {"w.bin": CONTENT}, "zip")
    with pytest.raises(FetchError, match="as its card states"):
        extract_member(archive, "w.bin", tmp_path / "w.bin", sha256="0" * 64, max_bytes=10_000)
    assert not (tmp_path / "w.bin").exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.7])
def test_a_truncated_archive_is_said_to_be_damaged(tmp_path, kind, keep):
    archive = make(tmp_path / "a", {"w.bin": hashlib.shake_128(b"").digest(50_000)}, kind)
    raw = archive.read_bytes()
    archive.write_bytes(raw[: int(len(raw) * keep)])
    with pytest.raises(FetchError, match=r"cannot be read as an archive|no plain file"):
        extract_member(archive, "w.bin", tmp_path / "w.bin", max_bytes=100_000)
    assert not (tmp_path / "w.bin").exists()


def test_a_missing_file_is_named(tmp_path):
    archive = make(tmp_path / "a.zip", {"w.bin": CONTENT}, "zip")
    with pytest.raises(FetchError, match=r"no plain file 'v\.bin'"):
        extract_member(archive, "v.bin", tmp_path / "v.bin", max_bytes=10)
    with pytest.raises(FetchError, match=r"'v\.bin' in it \(1 missing\)"):
        extract_members(archive, tmp_path / "out", members={"w.bin", "v.bin"}, max_bytes=10_000)


def test_several_files_keep_their_folders(tmp_path):
    files = {"pkg/a/1.bin": b"1", "pkg/b/2.bin": b"22", "pkg/3.bin": b"333"}
    archive = make(tmp_path / "a.tar.gz", files, "tar.gz")
    wanted = {"pkg/a/1.bin", "pkg/b/2.bin"}
    written = extract_members(archive, tmp_path / "out", members=wanted, max_bytes=3)
    assert {path.relative_to(tmp_path / "out").as_posix(): path.read_bytes() for path in written} == {
        name: files[name] for name in wanted
    }
    with pytest.raises(FetchError, match="unpacks to more than"):
        extract_members(archive, tmp_path / "less", members=wanted, max_bytes=2)
