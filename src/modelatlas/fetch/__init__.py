"""Bringing things onto this machine safely: downloads, package archives, unpacking, the cache."""

from modelatlas.fetch.archives import archive_members, extract_member, extract_members
from modelatlas.fetch.cache import CacheEntry, cache_entries, cache_folder, cache_lock, cache_root, prune
from modelatlas.fetch.http import Progress, download, install_file
from modelatlas.fetch.members import ArchiveKind, fetch_members
from modelatlas.fetch.mini import mini_data
from modelatlas.fetch.packages import Registry, archive_folder, fetch_package

__all__ = [
    "ArchiveKind",
    "CacheEntry",
    "Progress",
    "Registry",
    "archive_folder",
    "archive_members",
    "cache_entries",
    "cache_folder",
    "cache_lock",
    "cache_root",
    "download",
    "extract_member",
    "extract_members",
    "fetch_members",
    "fetch_package",
    "install_file",
    "mini_data",
    "prune",
]
