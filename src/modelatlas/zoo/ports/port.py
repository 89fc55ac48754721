"""A port: a published network written for torch, and where its official files are.

Source: the supplement's table 1 and the networks' own repositories; each port is proved against an
independent implementation (docs/ports.md).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn

from modelatlas.zoo.card import ModelCard, WeightFile
from modelatlas.zoo.checkpoints import Checkpoint, Filled, NameTable, Slot, filled

__all__ = ["Origin", "Port"]

Packing = Literal["file", "tensorflow-v2", "archive"]


@dataclass(frozen=True)
class Origin:
    """One place that publishes a network's weights.

    Attributes
    ----------
    name
        The value of the key `origin=` in a spec.
    url
        Of the file; of a TensorFlow V2 checkpoint its prefix, without `.index`; of an archive.
    packing
        What is at the address.
    format
        As the card tells it.
    member
        In an archive: the checkpoint's name, or its prefix.
    sha256
        Where the origin states it.
    offers_https
        False: fetched over http, with a warning.
    """

    name: str
    url: str
    packing: Packing
    format: str
    member: str | None = None
    sha256: str | None = None
    offers_https: bool = True

    def weight_file(self) -> WeightFile:
        """As cards tell it."""
        url = f"{self.url}.index" if self.packing == "tensorflow-v2" else self.url
        return WeightFile(url=url, sha256=self.sha256, format=self.format)


@dataclass(frozen=True)
class Port:
    """A network of the paper.

    Attributes
    ----------
    card
        Without its origins, which `PortedSource` adds.
    build
        Makes the network with fresh weights.
    names
        The table of names for a checkpoint, by the network and the checkpoint's format.
    origins
        Where its weights are; the first is asked unless a spec says otherwise.
    """

    card: ModelCard
    build: Callable[[], nn.Module]
    names: Callable[[nn.Module, Checkpoint], NameTable]
    origins: tuple[Origin, ...]

    def read(self, checkpoint: Checkpoint, network: nn.Module, *, model: str) -> Filled:
        """Make a state dict of a checkpoint: an official one, or what `zoo convert` made of it.

        Raises
        ------
        ModelError, CheckpointError
            It is another network's, or damaged.
        """
        own = {name for name in network.state_dict() if not name.endswith("num_batches_tracked")}
        if own <= checkpoint.keys():
            return filled(checkpoint, network, _as_it_is(own), model=model)
        return filled(checkpoint, network, self.names(network, checkpoint), model=model)

    def load(self, checkpoint: Checkpoint, network: nn.Module, *, model: str) -> Filled:
        """Read a checkpoint, and put it into the network."""
        filling = self.read(checkpoint, network, model=model)
        network.load_state_dict(filling.state, strict=False)
        return filling


def _as_it_is(names: set[str]) -> NameTable:
    return NameTable(slots={name: Slot(name) for name in sorted(names)}, anchor=min(names))
