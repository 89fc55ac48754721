"""A model's repository on the hub: one commit of it, and the files that we take.

The hub tells the commit of a revision, its files, their sizes and the SHA-256 of the large ones (`GET
/api/models/<repository>/revision/<revision>?blobs=true`). That answer is kept: a revision that moves, such
as `main`, stays what it was at the first use, until its folder in the cache is removed. Files come from
`/<repository>/resolve/<commit>/<file>`. HF_ENDPOINT names another hub, as for the hub's own client.
"""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from modelatlas.errors import FetchError, InputError
from modelatlas.fetch import Progress, cache_folder, cache_lock, cache_root, download
from modelatlas.fetch.request import BrokenOffError, check_scheme, open_url

__all__ = ["HubRepository", "describe", "hub_repository", "weight_files"]

_DESCRIPTION: Final = ("config.json", "preprocessor_config.json", "processor_config.json")
_MAX_ANSWER: Final = 10_000_000
_MAX_WEIGHTS: Final = 20_000_000_000
_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_REVISION: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)*", re.ASCII)
_FILE: Final = re.compile(r"[\w-][\w.-]*", re.ASCII)
_SHARD: Final = re.compile(r"-\d{5}-of-\d{5}\.(safetensors|bin)")
_TIMEOUT: Final = 60.0


@dataclass(frozen=True)
class HubFile:
    """A file of a repository: its size in bytes, and its SHA-256 where the hub states one."""

    bytes: int
    sha256: str | None


@dataclass(frozen=True)
class HubRepository:
    """One commit of a model's repository.

    Attributes
    ----------
    endpoint
        Address of the hub.
    name, commit
        Of the repository; the commit's full hash.
    files
        Those at its top, by name.
    licence
        As its authors state it.
    folder
        Where the files are kept.
    """

    endpoint: str
    name: str
    commit: str
    files: dict[str, HubFile]
    licence: str | None
    folder: Path

    def url(self, file: str) -> str:
        """Address of a file."""
        return f"{self.endpoint}/{self.name}/resolve/{self.commit}/{quote(file)}"

    def fetch(self, files: tuple[str, ...], *, model: str, progress: Progress | None = None) -> Path:
        """Have files in the folder; those whose checksum holds are not fetched again.

        Raises
        ------
        FetchError
            One cannot be had, is another than stated, or all together are too large.
        """
        total = sum(self.files[file].bytes for file in files)
        if total > _MAX_WEIGHTS:
            raise FetchError(f"{model}: its files are {total} bytes, more than the limit of {_MAX_WEIGHTS}")
        done = 0
        for file in files:
            stated, before = self.files[file], done
            try:
                download(
                    self.url(file),
                    self.folder / file,
                    sha256=stated.sha256,
                    max_bytes=stated.bytes,
                    allow_http=self.endpoint.startswith("http://"),
                    progress=None if progress is None else lambda at, _, b=before: progress(b + at, total),  # type: ignore[misc]
                )
            except FetchError as error:
                raise FetchError(f"{model}: {error}{_BY_FOLDER}") from error
            done += stated.bytes
        return self.folder


_BY_FOLDER: Final = "; or get the repository with the hub's client and name its folder, as in hf:./folder"


def hub_repository(name: str, *, revision: str, model: str, ask: bool = True) -> HubRepository | None:
    """Look up a revision of a repository: as recorded at its first use, else on the hub.

    Parameters
    ----------
    revision
        Branch, tag or commit.
    ask
        False: None instead of a request.

    Raises
    ------
    InputError
        No such name or revision is possible.
    FetchError
        The hub cannot be reached, has no such repository or revision, or does not let us see it.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise InputError(
            f"{model}: {name!r} is no model type of transformers, no folder with a config.json, and no name "
            "of a hub repository (owner/name)"
        )
    if not _REVISION.fullmatch(revision) or ".." in revision:
        raise InputError(f"{model}: revision={revision} is no branch, tag or commit")
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    folder = "hf-" + name.replace("/", "--")
    record = cache_root() / "weights" / folder / f"{revision.replace('/', '--')}.json"
    if not ask and not record.is_file():
        return None
    with cache_lock("hub", name, revision):
        if not record.is_file():
            cache_folder("weights", folder)
            answer = _ask(endpoint, name, revision, model=model)
            part = record.with_suffix(".part")
            part.write_bytes(answer)
            part.replace(record)
        return _read(record, endpoint, name, model=model)


def weight_files(names: set[str], *, model: str) -> tuple[str, ...]:
    """Files of a repository or folder that hold the weights: safetensors, else torch's, whole or in shards.

    Raises
    ------
    InputError
        It has neither.
    """
    for whole, index in (
        ("model.safetensors", "model.safetensors.index.json"),
        ("pytorch_model.bin", "pytorch_model.bin.index.json"),
    ):
        if whole in names:
            return (whole,)
        if index in names:
            stem = whole.partition(".")[0]
            shards = [name for name in names if name.startswith(stem) and _SHARD.fullmatch(name[len(stem) :])]
            return (index, *sorted(shards))
    raise InputError(
        f"{model}: it has neither model.safetensors nor pytorch_model.bin; its weights are of another "
        "library, or absent: add ?random=0 or ?weights=FILE"
    )


def _ask(endpoint: str, name: str, revision: str, *, model: str) -> bytes:
    """Bytes of the hub's answer, which is looked at before it is kept."""
    url = f"{endpoint}/api/models/{name}/revision/{quote(revision, safe='')}?blobs=true"
    check_scheme(url, allow_http=endpoint.startswith("http://"))
    try:
        with open_url(url, span=None, validator=None, timeout=_TIMEOUT) as answer:
            content = bytes(answer.read(_MAX_ANSWER + 1))
    except BrokenOffError as error:
        raise FetchError(
            f"{model}: {urlsplit(url).netloc} broke off ({error}); run again{_BY_FOLDER}"
        ) from error
    except FetchError as error:
        raise FetchError(
            f"{model}: the hub does not tell of {name!r} at {revision!r} (misspelt, private, or gated?): "
            f"{error}{_BY_FOLDER}"
        ) from error
    try:
        table = json.loads(content)
        _described(table)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FetchError(
            f"{model}: {url} did not answer as a hub does ({type(error).__name__}: {error}); "
            "is HF_ENDPOINT right?"
        ) from error
    return content


def _read(record: Path, endpoint: str, name: str, *, model: str) -> HubRepository:
    try:
        commit, files, licence = _described(json.loads(record.read_bytes()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FetchError(f"{model}: {record} is damaged; remove it and run again") from error
    return HubRepository(endpoint, name, commit, files, licence, record.parent / commit)


def _described(table: Any) -> tuple[str, dict[str, HubFile], str | None]:
    """Commit, files and licence out of the hub's answer."""
    commit = str(table["sha"])
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise ValueError(f"{commit[:50]!r} is no commit")
    files = {}
    for item in table["siblings"]:
        if _FILE.fullmatch(item["rfilename"]):
            large = item.get("lfs") or {}
            files[str(item["rfilename"])] = HubFile(int(item["size"]), large.get("sha256"))
    licence = (table.get("cardData") or {}).get("license")
    return commit, files, licence if isinstance(licence, str) else None


def describe(files: set[str]) -> tuple[str, ...]:
    """Those files of a repository that say what a network is."""
    return tuple(name for name in _DESCRIPTION if name in files)
