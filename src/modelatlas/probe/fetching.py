"""Bringing the images of a published set here: those alone, out of the official archive."""

from pathlib import Path, PurePosixPath
from typing import Final

from modelatlas.errors import FetchError, InputError
from modelatlas.fetch import archive_members, cache_folder, extract_members, fetch_members
from modelatlas.probe.choosing import listed_images
from modelatlas.probe.probe import Progress
from modelatlas.probe.published import PublishedSet, published_probes

__all__ = ["fetch_published"]

_IMAGE_BYTES: Final = 1 << 26
_SET_BYTES: Final = 1 << 32


def fetch_published(
    name: str, *, listing: Path | None = None, archive: Path | None = None, progress: Progress | None = None
) -> Path:
    """Have the images of a list in the cache, where `open_probe(name)` finds them.

    Of `coco` the 1,000 photographs alone are asked for (about 160 MB of a zip file of 6.6 GB). The archive of
    `indoor`, a tar file of 2.4 GB, is read until the last of them, and only they are kept. A call that was
    stopped goes on where it was.

    Parameters
    ----------
    name
        `indoor` or `coco`.
    listing
        File with one path a line; None: the authors' list.
    archive
        The official archive, got by hand.
    progress
        Called with "fetching", how many images are there, of how many.

    Returns
    -------
        The data set's folder.

    Raises
    ------
    InputError
        No such set, or one without a plain archive; a wrong list.
    FetchError
        It cannot be had, or the archive lacks images of the list.
    """
    known = _with_archive(name)
    wanted = frozenset(listed_images(known, listing))
    folder = cache_folder("datasets", name)
    if archive is not None:
        found = _from_file(known, archive, folder, wanted)
    else:
        assert known.archive is not None
        assert known.archive_kind is not None
        found = frozenset(
            fetch_members(
                known.archive,
                folder,
                kind=known.archive_kind,
                identify=known.image,
                wanted=wanted,
                max_bytes=_IMAGE_BYTES,
                progress=lambda done: progress("fetching", done, len(wanted)) if progress else None,
            )
        )
    if missing := sorted(wanted - found):
        raise FetchError(
            f"{archive or known.archive}: {len(missing)} of {len(wanted)} images of {name} are not in it "
            f"({missing[0]}, ...); the others are kept. Is it {known.origin}?"
        )
    return folder


def _with_archive(name: str) -> PublishedSet:
    with_archive = [known.name for known in published_probes().values() if known.archive]
    if name in with_archive:
        return published_probes()[name]
    if name not in published_probes():
        raise InputError(f"{name}: no such data set; {' and '.join(with_archive)} are fetched by name")
    known = published_probes()[name]
    raise InputError(
        f"{name} has no plain archive: get it ({known.origin}), then name its folder, as in "
        f"`modelatlas probe build {name} --root DIR --out my-{name}`"
    )


def _from_file(known: PublishedSet, archive: Path, folder: Path, wanted: frozenset[str]) -> frozenset[str]:
    if not archive.is_file():
        raise FetchError(f"{archive}: there is no such file; name the archive that was downloaded by hand")
    members = {member: known.image(member) for member in archive_members(archive)}
    chosen = {str(PurePosixPath(member)): image for member, image in members.items() if image in wanted}
    extract_members(archive, folder, members=set(chosen), max_bytes=_SET_BYTES)
    return frozenset(image for image in chosen.values() if image is not None)
