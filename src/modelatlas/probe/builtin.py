"""Built-in probes: made at their first use and kept in the cache, or shipped as data.

Their bytes are the same on every machine. What is made is stored as PPM files, whose bytes are those of the
pixels: a PNG's depend on the compression library.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from modelatlas._ids import file_digest, fingerprint
from modelatlas.errors import FetchError, InputError
from modelatlas.fetch import cache_folder, cache_lock, mini_data
from modelatlas.probe.manifest import read_manifest, write_manifest
from modelatlas.probe.noise import noise_views
from modelatlas.probe.photos import photo_views
from modelatlas.probe.probe import Probe, ProbeImage, Progress
from modelatlas.probe.views import Views

__all__ = ["builtin_folder", "builtin_probes"]

_CODE: Final = 1
"""Version of the code that cuts and stores views: raised when it would give other bytes."""


@dataclass(frozen=True)
class _Builtin:
    summary: str
    views: Callable[[], Views]


_BUILTINS: Final = {
    "photos": _Builtin("views of free photographs that Python packages ship", photo_views),
    "noise": _Builtin("pictures of nothing with the spectrum of photographs, as a control", noise_views),
}


ROOMS: Final = "rooms"
"""The probe of the data distribution `modelatlas-mini`: its pictures lie there, nothing is made."""


def builtin_probes() -> dict[str, str]:
    """Names of the built-in probes, and what each shows."""
    made = {name: f"{builtin.views().count} {builtin.summary}" for name, builtin in _BUILTINS.items()}
    return made | {ROOMS: "1000 views of rendered rooms of 5 buildings (extra mini)"}


def builtin_folder(name: str, *, progress: Progress) -> Path:
    """Folder of a built-in probe, with its `manifest.json`; built in the cache if it is not there, whole.

    Raises
    ------
    MissingExtraError
        The probe is data that is not installed.
    FetchError
        The packages cannot be fetched, or the cache cannot be written.
    """
    if name == ROOMS:
        return mini_data(needed_for=f"the probe {ROOMS}") / ROOMS
    views = _BUILTINS[name].views()
    folder = cache_folder("probes") / f"{name}-{fingerprint([_CODE, views.recipe])[:12]}"
    if _is_whole(folder):
        return folder  # without the lock: a cache that is shared may be read-only
    with cache_lock("probe", folder.name):
        if not _is_whole(folder):
            shutil.rmtree(folder, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".part-") as temporary:
                made = Path(temporary, "probe")
                made.mkdir()
                try:
                    _build(name, views, made, progress)
                except OSError as error:
                    raise FetchError(
                        f"{folder}: the probe {name} cannot be written ({error.strerror or error}); free "
                        "space, or set MODELATLAS_CACHE to another folder"
                    ) from error
                os.replace(made, folder)  # noqa: PTH105
    return folder


def _is_whole(folder: Path) -> bool:
    try:
        images = read_manifest(folder / "manifest.json").images
        return all(file_digest(image.path) == image.sha256 for image in images)
    except (InputError, OSError):
        return False


def _build(name: str, views: Views, folder: Path, progress: Progress) -> None:
    images = []
    for view in views.make():
        path = folder / f"{view.id}.ppm"
        Image.fromarray(view.pixels).save(path)
        images.append(
            ProbeImage(
                id=view.id,
                path=path,
                sha256=file_digest(path),
                bytes=path.stat().st_size,
                width=view.pixels.shape[1],
                height=view.pixels.shape[0],
                photograph=view.photograph,
                source=view.source,
                licence=view.licence,
            )
        )
        progress("building", len(images), views.count)
    write_manifest(
        Probe(
            name=name,
            images=tuple(images),
            digest=fingerprint([[image.id, image.sha256] for image in images]),
            left_out=(),
            root=folder,
            source=f"built in: {_BUILTINS[name].summary}",
            rule="all views",
            seed=0,
            pool=len(images),
        ),
        folder / "manifest.json",
    )
