"""Opening a probe: list the pool, check what it holds, order it by seed, take the first usable images.

The order. Images that were cut from one photograph form a group; every other image is a group of its own.
Groups are ordered by SHA-256(seed, group), the images within one by SHA-256(seed, id), and the probe takes
the first image of every group, then the second of every group that has one, and so on. So no image's place
depends on how many are asked for (the first 100 are a prefix of the first 400), the order is the same on
every machine and with every version of every library, and the first images show as many photographs as there
are.
"""

import difflib
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

from modelatlas._ids import fingerprint
from modelatlas.errors import InputError, ProbeError
from modelatlas.probe.ahead import in_order
from modelatlas.probe.builtin import builtin_folder, builtin_probes
from modelatlas.probe.choosing import chosen_files
from modelatlas.probe.files import checksum, read_picture
from modelatlas.probe.folder import list_pictures, printable
from modelatlas.probe.manifest import read_manifest
from modelatlas.probe.probe import LeftOut, Probe, ProbeImage, Progress, check_count
from modelatlas.probe.published import OnDisk, data_folder, published_probes

__all__ = ["in_seed_order", "open_probe"]

_RULE: Final = "ordered by SHA-256 of the seed and the image's id, photographs in turn; the first usable ones"
_WORKERS: Final = min(8, os.cpu_count() or 1)


def open_probe(
    probe: str | Path,
    *,
    images: int | None = None,
    seed: int = 0,
    on_disk: OnDisk | None = None,
    progress: Progress | None = None,
) -> Probe:
    """Open a set of images.

    Every file of the pool is read once for its checksum; only as many are decoded as it takes to find
    `images` usable ones. Of files with equal bytes the first by name counts: a picture that is in twice would
    weigh double in every mean and make every interval too narrow.

    Parameters
    ----------
    probe
        A built-in probe's name, a folder of pictures (read to any depth), or a manifest (a JSON file). A
        `Path` is never a built-in name. A manifest keeps its own order: `seed` does not count. The paper's
        sets (`taskonomy`, `indoor`, `coco`) are built-in names of data sets that lie where the user has them.
    images
        How many to take, at most; all by default.
    seed
        Orders the pool.
    on_disk
        Of the paper's sets: where the data set lies, and how the images are chosen.
    progress
        Called with what is being done, how many are done, and of how many.

    Raises
    ------
    InputError
        No such probe, nothing usable in it, `images` is no whole number of at least 1, a manifest that is
        malformed or whose files are missing or changed.
    FetchError
        The packages of a built-in probe cannot be fetched.
    """
    if images is not None:
        check_count(images)
    if probe == "":
        raise InputError("the probe has no name: give a folder, a manifest or a built-in probe")
    report = progress or (lambda stage, done, total: None)
    if isinstance(probe, str) and probe in published_probes():
        return _from_published(probe, images=images, seed=seed, on_disk=on_disk or OnDisk(), progress=report)
    if on_disk is not None:
        raise InputError(
            f"{probe}: --root, --list and --draw are for the probes {', '.join(published_probes())} only"
        )
    if isinstance(probe, str) and probe in builtin_probes():
        folder = builtin_folder(probe, progress=report)
        return _from_manifest(folder / "manifest.json", images=images, seed=seed, progress=report)
    path = Path(probe).absolute()
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:
        raise InputError(f"{path}: the probe cannot be read ({error.strerror or error})") from error
    if is_folder:
        return _from_folder(path, images=images, seed=seed, progress=report)
    if is_file:
        return _from_manifest(path, images=images, seed=None, progress=report)
    names = [*builtin_probes(), *published_probes()]
    close = difflib.get_close_matches(str(probe), names, n=1)
    raise InputError(
        f"{probe}: no folder, manifest or built-in probe of that name"
        + (f"; did you mean {close[0]}?" if close else f"; built in: {', '.join(names)}")
    )


def in_seed_order(pool: Sequence[ProbeImage], *, seed: int) -> list[ProbeImage]:
    """Order images as the head of this module says."""
    groups: dict[str, list[ProbeImage]] = defaultdict(list)
    for image in pool:
        groups[image.photograph or image.id].append(image)
    ranked = [
        sorted(groups[name], key=lambda image: fingerprint([seed, "image", image.id]))
        for name in sorted(groups, key=lambda name: fingerprint([seed, "group", name]))
    ]
    deepest = max(map(len, ranked), default=0)
    return [group[turn] for turn in range(deepest) for group in ranked if turn < len(group)]


def _from_folder(folder: Path, *, images: int | None, seed: int, progress: Progress) -> Probe:
    name = printable(folder.resolve().name)
    found, left_out = list_pictures(folder)
    if not found and not left_out:
        raise InputError(f"{folder}: no file with a picture's extension (.jpg, .png, .tif, ...) in it")
    pool, unused = _without_twins(found, progress)
    probe = Probe(
        name=name,
        images=tuple(in_seed_order(pool, seed=seed)),
        digest="",
        left_out=(*left_out, *unused),
        root=folder,
        source=f"the folder {name}",
        rule=_RULE,
        seed=seed,
        pool=len(pool),
    )
    return _first_usable(probe, images=images, progress=progress)


def _from_published(
    name: str, *, images: int | None, seed: int, on_disk: OnDisk, progress: Progress
) -> Probe:
    known = published_probes()[name]
    root = data_folder(known, on_disk.root)
    pool, unused = _without_twins(chosen_files(known, root, on_disk=on_disk, seed=seed), progress)
    chosen = "drawn by the paper's rule" if on_disk.draw else "the authors' list"
    probe = Probe(
        name=name,
        images=tuple(
            in_seed_order(
                [replace(one, source=known.source, licence=known.licence) for one in pool], seed=seed
            )
        ),
        digest="",
        left_out=tuple(unused),
        root=root,
        source=f"{known.source}: {known.summary}",
        rule=f"{chosen}; {_RULE}",
        seed=seed,
        pool=len(pool),
    )
    return _first_usable(probe, images=images, progress=progress)


def _without_twins(found: Mapping[str, Path], progress: Progress) -> tuple[list[ProbeImage], list[LeftOut]]:
    """Give files by id their checksums; what cannot be read and later twins are left out."""
    candidates = [ProbeImage(key, path, "", 0, 0, 0) for key, path in found.items()]
    pool: dict[str, ProbeImage] = {}
    left_out = []
    for image, trouble in _with_checksums(candidates, progress):
        if trouble is not None:
            left_out.append(LeftOut(image.id, trouble.reason))
        elif (twin := pool.setdefault(image.sha256, image)) is not image:
            left_out.append(LeftOut(image.id, f"same bytes as {twin.id}"))
    return list(pool.values()), left_out


def _from_manifest(path: Path, *, images: int | None, seed: int | None, progress: Progress) -> Probe:
    """Open a manifest; with a seed (a built-in probe's) its images are ordered by it."""
    probe = read_manifest(path)
    wrong = [
        trouble.args[0] if trouble is not None else f"{image.id}: has changed since the manifest was written"
        for (image, trouble), listed in zip(
            _with_checksums(probe.images, progress), probe.images, strict=True
        )
        if trouble is not None or image.sha256 != listed.sha256
    ]
    if wrong:
        raise InputError(
            f"{path}: {len(wrong)} of {len(probe)} images cannot be used as listed ({'; '.join(wrong[:3])}"
            f"{'; ...' if len(wrong) > 3 else ''}): put the files back, or build the probe again"
        )
    if seed is not None:
        probe = replace(probe, images=tuple(in_seed_order(probe.images, seed=seed)), seed=seed, rule=_RULE)
    return _first_usable(probe, images=images, progress=progress)


def _with_checksums(
    images: Sequence[ProbeImage], progress: Progress
) -> list[tuple[ProbeImage, ProbeError | None]]:
    """Read every file once: each image with checksum and size, or with what is wrong with its file."""

    def one(image: ProbeImage) -> tuple[ProbeImage, ProbeError | None]:
        try:
            sha256, size = checksum(image.path, name=image.id)
        except ProbeError as trouble:
            return image, trouble
        return replace(image, sha256=sha256, bytes=size), None

    done = []
    with closing(in_order(one, images, workers=_WORKERS, ahead=4 * _WORKERS)) as results:
        for result in results:
            done.append(result)
            progress("reading", len(done), len(images))
    return done


def _first_usable(probe: Probe, *, images: int | None, progress: Progress) -> Probe:
    """Decode a probe's pool in its order until `images` are usable; seal it with its digest."""
    wanted = len(probe) if images is None else min(images, len(probe))
    usable: list[ProbeImage] = []
    left_out = list(probe.left_out)

    def one(image: ProbeImage) -> ProbeImage | ProbeError:
        try:
            picture = read_picture(image.path, name=image.id, sha256=image.sha256)
        except ProbeError as trouble:
            return trouble
        return replace(image, width=picture.width, height=picture.height)

    with closing(in_order(one, probe.images, workers=_WORKERS, ahead=2 * _WORKERS)) as results:
        for result in results:
            if isinstance(result, ProbeError):
                left_out.append(LeftOut(result.image, result.reason))
            else:
                usable.append(result)
                progress("decoding", len(usable), wanted)
            if len(usable) == wanted:
                break
    if not usable:
        first = f" (the first: {left_out[0].item}: {left_out[0].reason})" if left_out else ""
        raise InputError(f"{probe.name}: none of its {len(left_out)} pictures can be used{first}")
    pool = [[image.id, image.sha256] for image in probe.images]
    return replace(probe, images=tuple(usable), digest=fingerprint(pool), left_out=tuple(left_out))
