"""What pictures a folder holds.

The folder is read to any depth. Hidden files and folders, and files whose extension is no picture's, are not
part of it. Every other file is either a candidate or left out with its reason (one is a name that is not
UTF-8, since atlases and manifests are). Links to folders are followed, but no folder is read twice, so that a
link back up does not go round for ever.
"""

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from modelatlas.errors import InputError
from modelatlas.probe.decode import image_suffixes, unread_suffixes
from modelatlas.probe.probe import LeftOut

__all__ = ["is_utf8", "list_pictures", "printable"]


def printable(text: str) -> str:
    r"""Make a name fit for screens and JSON: composed (NFC), control characters and stray bytes as `\x0a`."""
    composed = unicodedata.normalize("NFC", text)
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in composed
    )


def is_utf8(text: str) -> bool:
    """Tell whether text can be written; of a file's name, stray bytes cannot: they come as surrogates."""
    return not any("\ud800" <= sign <= "\udfff" for sign in text)


def list_pictures(folder: Path) -> tuple[dict[str, Path], list[LeftOut]]:
    """List candidates by id (path below the folder, with `/`), sorted, and what is left out.

    Raises
    ------
    InputError
        The folder cannot be read.
    """
    left_out: list[LeftOut] = []
    found: dict[str, Path] = {}
    for path in sorted(_files(folder, left_out)):
        suffix = path.suffix.lower()
        below = path.relative_to(folder).as_posix()
        name = printable(below)
        if suffix in unread_suffixes():
            left_out.append(LeftOut(name, f"Pillow does not read {suffix} files: convert it to PNG or JPEG"))
        elif suffix in image_suffixes():
            if not is_utf8(below):
                left_out.append(LeftOut(name, "its name is not UTF-8: rename it"))
            elif name in found:
                left_out.append(LeftOut(name, "another file's name reads the same: rename one of them"))
            else:
                found[name] = path
    return dict(sorted(found.items())), left_out


def _files(folder: Path, left_out: list[LeftOut]) -> Iterator[Path]:
    """Yield what is not a folder: all of the real folders first, then of linked ones in sorted order."""
    seen: set[tuple[int, int]] = set()
    linked: list[Path] = []

    def refused(error: OSError) -> None:
        where = Path(error.filename)
        if where == folder:
            raise InputError(f"{folder}: the folder cannot be read ({error.strerror})") from error
        left_out.append(
            LeftOut(
                printable(where.relative_to(folder).as_posix()),
                f"the folder cannot be read ({error.strerror})",
            )
        )

    def walk(top: Path) -> Iterator[Path]:
        for base, folders, files in os.walk(top, onerror=refused):
            status = os.stat(base)  # noqa: PTH116
            seen.add((status.st_dev, status.st_ino))
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            linked.extend(path for name in folders if (path := Path(base, name)).is_symlink())
            yield from (Path(base, name) for name in files if not name.startswith("."))

    yield from walk(folder)
    while linked:
        link = linked.pop(0)
        status = link.stat()
        if (status.st_dev, status.st_ino) in seen:
            name = printable(link.relative_to(folder).as_posix())
            left_out.append(LeftOut(name, "a link to a folder that is part of the probe already"))
        else:
            yield from walk(link)
