"""A source whose models are ports: the same for all but the table of its models."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from modelatlas.errors import InputError
from modelatlas.fetch import Progress
from modelatlas.zoo.card import ModelCard
from modelatlas.zoo.checkpoints import Checkpoint, open_checkpoint
from modelatlas.zoo.ports.fetching import fetched
from modelatlas.zoo.ports.port import Origin, Port
from modelatlas.zoo.spec import ModelSpec, unknown_name

__all__ = ["PortedSource"]


class PortedSource:
    """Published networks, written for torch, with their official weights."""

    options: tuple[str, ...] = ("origin",)
    runs_user_code = False

    def __init__(self, prefix: str, summary: str, ports: Mapping[str, Port]) -> None:
        self.prefix = prefix
        self.summary = summary
        self.ports = ports

    def names(self) -> Sequence[str]:
        """All of them, sorted."""
        return sorted(self.ports)

    def card(self, spec: ModelSpec) -> ModelCard:
        """Take the card that ships with us; the origin that the spec chooses stands first."""
        port, chosen = self.port(spec), self._origin(spec)
        others = [origin for origin in port.origins if origin is not chosen]
        files = tuple(origin.weight_file() for origin in (chosen, *others))
        return replace(port.card, name=spec.text, spec=spec.text, weights=files)

    def build(self, spec: ModelSpec, *, pretrained: bool) -> nn.Module:
        """Make the network, fetching its files if they are not in the cache."""
        network = self.port(spec).build()
        if pretrained:
            self.read_weights(spec, network, self.fetch(spec))
        return network

    def read_weights(self, spec: ModelSpec, network: nn.Module, file: Path) -> None:
        """Put an official checkpoint, or what `zoo convert` made of one, into the network."""
        self.port(spec).load(open_checkpoint(file), network, model=spec.text)

    def fetch(self, spec: ModelSpec, *, file: Path | None = None, progress: Progress | None = None) -> Path:
        """Have the official files in the cache, checked against the network.

        Raises
        ------
        InputError
            No such network, or no such origin.
        FetchError, CheckpointError, ModelError
            They cannot be had, are damaged, or another network's.
        """
        port = self.port(spec)

        def check(checkpoint: Checkpoint) -> None:
            with torch.device("meta"):  # shapes alone: nothing is drawn, nothing filled
                network = port.build()
            port.read(checkpoint, network, model=spec.text)

        return fetched(
            self._origin(spec),
            folder=f"{self.prefix}-{spec.name}",
            model=spec.text,
            check=check,
            file=file,
            progress=progress,
        )

    def port(self, spec: ModelSpec) -> Port:
        """Find a spec's port.

        Raises
        ------
        InputError
            No such network.
        """
        if spec.name not in self.ports:
            raise unknown_name(spec, self.ports)
        return self.ports[spec.name]

    def _origin(self, spec: ModelSpec) -> Origin:
        origins = {origin.name: origin for origin in self.port(spec).origins}
        chosen = spec.options.get("origin", next(iter(origins)))
        if chosen not in origins:
            raise InputError(f"{spec.text}: origin={chosen} is not one of {', '.join(origins)}")
        return origins[chosen]
