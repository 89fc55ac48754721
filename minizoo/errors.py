"""Errors of the maker. Each says what, where, and how to go on; the command line prints one line of it."""

from pathlib import Path

__all__ = ["DiskFullError", "MinizooError", "MissingPackageError", "RecipeChangedError", "SpoiltViewError"]


class MinizooError(Exception):
    """Base of everything that the maker refuses to do."""


class MissingPackageError(MinizooError):
    """A source package (furniture, pictures, renderer) is not there or is not the pinned one."""

    def __init__(self, package: str, where: Path | str, why: str) -> None:
        self.package, self.where, self.why = package, where, why
        super().__init__(
            f"{package}: {why} ({where}). Run `make minizoo-setup`; it fetches only what is missing, and "
            "finished views are kept."
        )


class RecipeChangedError(MinizooError):
    """Views of two recipes would be mixed."""

    def __init__(self, where: Path | str, found: str, wanted: str) -> None:
        self.where, self.found, self.wanted = where, found, wanted
        super().__init__(
            f"{where} was made by recipe {found}, this code makes {wanted}. Check out the code that made it, "
            "or move it away and make it again; nothing was mixed."
        )


class SpoiltViewError(MinizooError):
    """A stored view cannot be read."""

    def __init__(self, where: Path | str, why: str) -> None:
        self.where, self.why = where, why
        super().__init__(
            f"{where}: {why}. Delete it and run `python -m minizoo render` again; other views are kept."
        )


class DiskFullError(MinizooError):
    """Too little room to write another view."""

    def __init__(self, where: Path, free_mb: int, need_mb: int) -> None:
        self.where, self.free_mb, self.need_mb = where, free_mb, need_mb
        super().__init__(
            f"{where}: {free_mb} MB free, {need_mb} MB needed. Make room and run the same command again; "
            "finished views are kept."
        )
