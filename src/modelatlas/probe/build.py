"""Writing a probe out: its centre squares as PNG files, a manifest, and a list of licences."""

import os
import re
import tempfile
from dataclasses import replace
from pathlib import Path

from PIL import Image

from modelatlas._ids import file_digest
from modelatlas.errors import InputError
from modelatlas.probe.manifest import write_manifest
from modelatlas.probe.opening import open_probe
from modelatlas.probe.probe import Probe, ProbeImage, Progress
from modelatlas.probe.published import OnDisk

__all__ = ["build_probe"]


def build_probe(
    probe: str | Path,
    out: Path,
    *,
    images: int | None = None,
    seed: int = 0,
    on_disk: OnDisk | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write the centre squares of a probe to a folder of their own, in order.

    The folder can be moved, and its manifest is a probe with this order.

    Parameters
    ----------
    out
        Folder to make: `manifest.json`, `LICENCES.txt`, `images/`. It must not be there, or be empty.
    probe, images, seed, on_disk, progress
        As `open_probe`.

    Returns
    -------
        Path of the manifest.

    Raises
    ------
    InputError
        As `open_probe`; or `out` is in use or cannot be written.
    """
    opened = open_probe(probe, images=images, seed=seed, on_disk=on_disk, progress=progress)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: there is something in it already; name a new folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as temporary:
            made = Path(temporary, "probe")
            (made / "images").mkdir(parents=True)
            _write(opened, made, progress)
            if out.is_dir():
                out.rmdir()
            os.replace(made, out)  # noqa: PTH105
    except OSError as error:
        raise InputError(f"{out}: the folder cannot be written ({error.strerror or error})") from error
    return out / "manifest.json"


def _write(probe: Probe, folder: Path, progress: Progress | None) -> None:
    images = []
    for index, image in enumerate(probe.images):
        path = folder / "images" / f"{index:05d}-{re.sub(r'[^A-Za-z0-9]+', '-', image.id)[:60]}.png"
        square = probe.square(index)
        Image.fromarray(square).save(path)
        images.append(
            replace(
                image,
                path=path,
                sha256=file_digest(path),
                bytes=path.stat().st_size,
                width=square.shape[1],
                height=square.shape[0],
            )
        )
        if progress is not None:
            progress("writing", index + 1, len(probe))
    write_manifest(replace(probe, images=tuple(images), root=folder), folder / "manifest.json")
    lines = [f"{image.id}: {image.source or probe.source}; {_licence(image)}\n" for image in images]
    (folder / "LICENCES.txt").write_text("".join(lines), encoding="utf-8")


def _licence(image: ProbeImage) -> str:
    return f"licence: {image.licence}" if image.licence else "licence not stated"
