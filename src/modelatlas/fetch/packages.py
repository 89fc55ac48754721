"""Archives of package registries, fetched by the registries' ordinary clients.

`pip download`, `npm pack` and `apt-get download` bring a package's archive and no more: no dependency, no
build, no script of the package is run (wheels only, `--ignore-scripts`). Mirrors and proxies are the clients'
own settings.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal, get_args

from modelatlas._ids import file_digest
from modelatlas.errors import FetchError
from modelatlas.fetch.cache import cache_folder, cache_lock

__all__ = ["Registry", "archive_folder", "fetch_package"]

Registry = Literal["pypi", "npm", "debian"]
_TIMEOUT: Final = 1800.0
_CLIENT: Final[dict[Registry, str]] = {"pypi": "pip", "npm": "npm", "debian": "apt-get"}


def archive_folder(registry: Registry, name: str, version: str) -> Path:
    """Where the archive of one version of a package lies in the cache (the folder is made)."""
    if registry not in get_args(Registry):
        raise FetchError(f"{registry}: no such package registry; known are {', '.join(get_args(Registry))}")
    safe = name.replace("/", "+").replace("..", "_")
    return cache_folder("archives", registry, f"{safe}-{version}")


def fetch_package(registry: Registry, name: str, version: str, *, sha256: str | None = None) -> Path:
    """Archive of one version of a package: from the cache, else by the registry's client.

    Parameters
    ----------
    version
        Exact version.
    sha256
        Checksum of the archive (hex). None: whatever the client accepted (it checks the registry's own).

    Returns
    -------
        Path of the wheel, tarball or .deb in the cache.

    Raises
    ------
    FetchError
        The client is missing or failed, or the archive has another checksum.
    """
    folder = archive_folder(registry, name, version)
    with cache_lock("package", registry, name, version):
        for archive in sorted(path for path in folder.iterdir() if path.is_file()):
            if sha256 is None or file_digest(archive) == sha256.lower():
                return archive
            archive.unlink()  # half written by a killed client of old, or damaged
        with tempfile.TemporaryDirectory(dir=cache_folder("archives"), prefix=".part-") as temporary:
            archive = _run_client(registry, name, version, Path(temporary))
            digest = file_digest(archive)
            if sha256 is not None and digest != sha256.lower():
                raise FetchError(
                    f"{name} {version} ({registry}): SHA-256 of {archive.name} is {digest}, not "
                    f"{sha256.lower()} as its card states; it was not used: check the client's index settings"
                )
            final = folder / archive.name
            os.replace(archive, final)  # noqa: PTH105
    return final


def _run_client(registry: Registry, name: str, version: str, folder: Path) -> Path:
    """Let the client write the archive into an empty folder."""
    command = _command(registry, name, version, folder)
    what = f"{name} {version}: {_CLIENT[registry]}"
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT,
            check=False,
        )
    except FileNotFoundError as error:
        raise FetchError(_without_client(registry, name, version)) from error
    except subprocess.TimeoutExpired as error:
        raise FetchError(
            f"{what} did not end within {_TIMEOUT:.0f} s; check the network and run again"
        ) from error
    archives = [path for path in folder.iterdir() if path.is_file()]
    if done.returncode != 0 or len(archives) != 1:
        said = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        telling = [
            line for line in said if line.lower().startswith(("error", "npm err", "npm error", "e:"))
        ] or said
        last = (telling or ["no message"])[-1]
        raise FetchError(
            f"{what} could not fetch it (status {done.returncode}: {last[:300]}); check "
            "the network and the client's settings, or get the archive by hand and name it with "
            "`zoo fetch NAME --from FILE`"
        )
    return archives[0]


def _command(registry: Registry, name: str, version: str, folder: Path) -> list[str]:
    if registry == "pypi":
        pip = [sys.executable, "-m", "pip"] if find_spec("pip") else [_found("pip", registry, name, version)]
        return [
            *pip, "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps",
            "--only-binary", ":all:", "--dest", str(folder), f"{name}=={version}",
        ]  # fmt: skip
    client = _found(_CLIENT[registry], registry, name, version)
    if registry == "npm":
        return [
            client,
            "pack",
            "--silent",
            "--ignore-scripts",
            "--pack-destination",
            str(folder),
            f"{name}@{version}",
        ]
    return [client, "download", "-qq", f"{name}={version}"]


def _found(client: str, registry: Registry, name: str, version: str) -> str:
    path = shutil.which(client)
    if path is None:
        raise FetchError(_without_client(registry, name, version))
    return path


def _without_client(registry: Registry, name: str, version: str) -> str:
    return (
        f"{name} {version} comes from the {registry} registry, whose client {_CLIENT[registry]!r} is not "
        "installed here: install it, or get the archive and name it with `zoo fetch NAME --from FILE`"
    )
