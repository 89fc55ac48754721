"""Fetch and unpack the packages that furniture, textures, skies and the renderer come from.

Every package is pinned by version; every file that is fetched is checked against its SHA-256. The clients are
the ordinary ones (apt-get, npm, pip), so mirrors and proxies are theirs to know. Unpacking needs no root.
"""

import base64
import hashlib
import re
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minizoo.errors import MissingPackageError
from minizoo.paths import DOWNLOADS, UNPACKED, check_disk

__all__ = ["PINNED", "Package", "check", "fetch", "models_folder", "sky_files", "texture_files"]


@dataclass(frozen=True)
class Package:
    """One pinned package file."""

    name: str
    version: str
    client: str
    file: str
    sha256: str


PINNED = (
    Package(
        "sweethome3d-furniture", "1.8-1", "apt", "sweethome3d-furniture_1.8-1_all.deb",
        "3ccb90c63f9525e887a767b9cd5c8b6933b8b6b2973a615a5359ee68a2118668",
    ),
    Package(
        "sweethome3d", "7.0.2+dfsg-3", "apt", "sweethome3d_7.0.2+dfsg-3_all.deb",
        "54bce4394ae763da1ffccff8f025565ce7161dc6934371e07480034ef155c411",
    ),
    Package(
        "@pmndrs/assets", "1.7.0", "npm", "pmndrs-assets-1.7.0.tgz",
        "152bd218a3390703f184f0c6ce16e73c8f0a87f32d38530d418a09d33d8208dc",
    ),
    Package(
        "robosuite", "1.5.2", "pip", "robosuite-1.5.2-py3-none-any.whl",
        "b9e02df55de8949739de6ba1d196d2ba59cf33c51a76efcfbe5c2f73cdcf99ce",
    ),
    Package("bpy", "4.5.15", "environment", "", ""),
)  # fmt: skip

ARCHIVES = UNPACKED / "usr" / "share" / "sweethome3d"
_COMMAND = {
    "apt": lambda p: ["apt-get", "download", "-q", f"{p.name}={p.version}"],
    "npm": lambda p: ["npm", "pack", "--silent", f"{p.name}@{p.version}"],
    "pip": lambda p: ["python3", "-m", "pip", "download", "-q", "--no-deps", f"{p.name}=={p.version}"],
}


def models_folder(archive: str) -> Path:
    """Folder with the unpacked models of one catalogue archive (`Scopia`, `sweethome3d`, ...)."""
    return UNPACKED / "models" / archive


def fetch(*, report: bool = True) -> None:
    """Bring every missing package here and unpack it; what is already here and right is left alone."""
    check_disk(DOWNLOADS, 1500)
    for package in PINNED:
        if package.client == "environment":
            continue
        path = DOWNLOADS / package.file
        if not path.exists() or _digest(path) != package.sha256:
            if report:
                print(f"fetch {package.name} {package.version}", flush=True)
            _download(package, path)
    _unpack()


def check() -> None:
    """Raise if a package is missing, with the one command that brings it."""
    for package in PINNED:
        if package.client != "environment" and not (DOWNLOADS / package.file).exists():
            raise MissingPackageError(
                f"{package.name} {package.version}", DOWNLOADS / package.file, "not fetched yet"
            )
    if not (UNPACKED / "done").exists():
        raise MissingPackageError("furniture models", UNPACKED, "not unpacked yet")


def texture_files() -> dict[str, Path]:
    """Return texture pictures by name, of both texture packages."""
    jar = models_folder("sweethome3d") / "com/eteks/sweethome3d/io/resources/textures"
    found = [*jar.glob("*.jpg"), *(UNPACKED / "robosuite").glob("*.png")]
    return {path.stem: path for path in sorted(found)}


def sky_files() -> dict[str, Path]:
    """Return high-dynamic-range surroundings by name: those of the npm package and those that bpy ships."""
    found = {path.stem: path for path in sorted((UNPACKED / "skies").glob("*.exr"))}
    try:
        import bpy
    except ImportError as error:
        raise MissingPackageError("bpy 4.5.15", "this Python", "the renderer is not installed") from error
    world = Path(bpy.utils.resource_path("LOCAL")) / "datafiles" / "studiolights" / "world"
    return found | {f"blender-{path.stem}": path for path in sorted(world.glob("*.exr"))}


def _download(package: Package, path: Path) -> None:
    command = _COMMAND[package.client](package)
    if shutil.which(command[0]) is None:
        raise MissingPackageError(package.name, command[0], "the program that fetches it is not installed")
    done = subprocess.run(command, cwd=DOWNLOADS, capture_output=True, text=True, check=False)
    if not path.exists():
        why = (done.stderr.strip().splitlines() or ["no file came"])[-1]
        raise MissingPackageError(f"{package.name} {package.version}", " ".join(command), why)
    if (found := _digest(path)) != package.sha256:
        path.unlink()
        raise MissingPackageError(
            package.name, path, f"SHA-256 {found[:12]}... is not {package.sha256[:12]}..."
        )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpack() -> None:
    done = UNPACKED / "done"
    if done.exists():
        return
    UNPACKED.mkdir(parents=True, exist_ok=True)
    for package in PINNED:
        if package.client == "apt":
            subprocess.run(["dpkg", "-x", str(DOWNLOADS / package.file), str(UNPACKED)], check=True)
    for archive in sorted((ARCHIVES / "furniture").glob("*.sh3f")):
        _unzip(archive, models_folder(archive.stem))
    _unzip(ARCHIVES / "sweethome3d.jar", models_folder("sweethome3d"), within=("com/eteks/sweethome3d/io/",))
    _unpack_skies(DOWNLOADS / PINNED[2].file, UNPACKED / "skies")
    _unpack_textures(DOWNLOADS / PINNED[3].file, UNPACKED / "robosuite")
    done.write_text("all packages unpacked\n", encoding="utf-8")


def _unzip(archive: Path, folder: Path, within: Sequence[str] = ("",)) -> None:
    root = folder.resolve()
    with zipfile.ZipFile(archive) as pack:
        for name in pack.namelist():
            if name.startswith(tuple(within)):
                if not (root / name).resolve().is_relative_to(root):
                    raise MissingPackageError(
                        archive.name, name, "a path inside the archive points out of it"
                    )
                pack.extract(name, folder)


def _unpack_skies(archive: Path, folder: Path) -> None:
    """Take the skies out of the npm package: base64 inside JavaScript modules."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as pack:
        for member in pack.getmembers():
            name = Path(member.name)
            if name.parent.name == "hdri" and name.name.endswith(".exr.js"):
                file = pack.extractfile(member)
                text = file.read().decode("ascii") if file else ""
                if found := re.search(r"base64,([A-Za-z0-9+/=]+)", text):
                    (folder / name.name.removesuffix(".js")).write_bytes(base64.b64decode(found.group(1)))


def _unpack_textures(wheel: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as pack:
        for name in pack.namelist():
            if name.startswith("robosuite/models/assets/textures/") and name.endswith(".png"):
                (folder / Path(name).name).write_bytes(pack.read(name))
