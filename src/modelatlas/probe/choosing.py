"""Which images of a published set are taken, and where they lie.

Two ways:

- the authors' own list, in their repository at one commit and pinned by checksum, or the same list as a file;
- the paper's rule anew: of every group the first `each` images by SHA-256(seed, id).
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from modelatlas._ids import fingerprint
from modelatlas.errors import FetchError, InputError
from modelatlas.fetch import cache_folder, download
from modelatlas.probe.published import OnDisk, PublishedSet

__all__ = ["chosen_files", "listed_images"]

_LIST_BYTES: Final = 1 << 22
_NAMED: Final = 3  # of many wrong things


def chosen_files(known: PublishedSet, root: Path, *, on_disk: OnDisk, seed: int) -> dict[str, Path]:
    """Files of a set by the images' ids, as many as the rule says.

    Parameters
    ----------
    root
        The data set's folder.
    seed
        Of the draw; without `on_disk.draw` it does not count.

    Raises
    ------
    InputError
        The list does not have the images of the rule, a group has too few, or files are missing (named).
    FetchError
        The authors' list cannot be had.
    """
    if on_disk.draw:
        return _drawn(known, root, seed=seed)
    chosen = listed_images(known, on_disk.listing)
    places = {image: known.place(parts, root) for image, parts in chosen.items()}
    missing = [image for image, place in places.items() if place is None]
    if missing:
        again = f", fetch them with `modelatlas probe fetch {known.name}`" if known.archive else ""
        raise InputError(
            f"{root}: {len(missing)} of the {len(places)} images of {known.name} are missing "
            f"({_first(missing)}): complete it{again}, or draw others that are there (--draw)"
        )
    return {image: place for image, place in places.items() if place is not None}


def listed_images(known: PublishedSet, listing: Path | None) -> dict[str, dict[str, str]]:
    """Group and file of each image of a list, by id, in the list's order; counts are checked.

    Raises
    ------
    InputError, FetchError
        As `chosen_files`.
    """
    path = _authors_list(known) if listing is None else listing
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: the list cannot be read ({error}); name a text with one path a line"
        ) from error
    chosen: dict[str, dict[str, str]] = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text:
            continue
        parts = known.identify(text)
        if parts is None:
            raise InputError(
                f"{path}: line {number} ({text[:80]!r}) is no image of {known.name}: is it its list?"
            )
        image = known.id.format(**parts)
        if image in chosen:
            raise InputError(f"{path}: line {number}: {image} stands twice; list it once")
        chosen[image] = parts
    _check_counts(known, chosen.values(), where=str(path))
    return chosen


def _authors_list(known: PublishedSet) -> Path:
    place = cache_folder("lists") / f"{known.name}.txt"
    try:
        return download(known.list_url, place, sha256=known.list_sha256, max_bytes=_LIST_BYTES)
    except FetchError as error:
        raise FetchError(
            f"the authors' list of {known.name} could not be fetched: {error}; or name it as a file "
            "(--list), or draw the images anew (--draw)"
        ) from error


def _check_counts(known: PublishedSet, chosen: Iterable[dict[str, str]], *, where: str) -> None:
    groups = Counter(parts["group"] for parts in chosen)
    wrong = [
        f"{count} of {group or known.name}" for group, count in sorted(groups.items()) if count != known.each
    ]
    if wrong or len(groups) != known.groups or (known.group_names and set(groups) != set(known.group_names)):
        raise InputError(
            f"{where}: {groups.total()} images of {len(groups)} groups"
            + (f" ({_first(wrong)})" if wrong else "")
            + f", where {known.name} has {known.each} of each of {known.groups}: use the authors' list; "
            "another choice is a probe of its own (a folder, or a manifest)"
        )


def _drawn(known: PublishedSet, root: Path, *, seed: int) -> dict[str, Path]:
    pools = next(filter(None, (_pools(known, root, layout) for layout in known.layouts)), {})
    short = [
        f"{len(pool)} of {group or known.name}"
        for group, pool in sorted(pools.items())
        if len(pool) < known.each
    ]
    lacking = [f"no {name}" for name in known.group_names if name not in pools] + short
    if lacking or len(pools) != known.groups:
        raise InputError(
            f"{root}: {known.name} is drawn as {known.each} of each of {known.groups} groups, and there are "
            f"{len(pools)} groups with pictures ({_first(lacking) or known.layouts[0]}): complete it"
        )
    return {
        image: pools[group][image]
        for group in sorted(pools)
        for image in sorted(pools[group], key=lambda image: fingerprint([seed, "draw", image]))[: known.each]
    }


def _pools(known: PublishedSet, root: Path, layout: str) -> dict[str, dict[str, Path]]:
    """List the pictures that lie in one layout: by group, then by id."""
    form = re.compile(
        re.escape(layout).replace(r"\{group\}", "(?P<group>[^/]+)").replace(r"\{file\}", "(?P<file>[^/]+)")
    )
    pools: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in root.glob(layout.format(group="*", file="*")):
        found = form.fullmatch(path.relative_to(root).as_posix())
        parts = found and known.identify(known.id.format(**found.groupdict()))
        if parts and path.is_file() and (not known.group_names or parts["group"] in known.group_names):
            pools[parts["group"]][known.id.format(**parts)] = path
    return pools


def _first(names: Sequence[str]) -> str:
    return "; ".join(names[:_NAMED]) + ("; ..." if len(names) > _NAMED else "")
