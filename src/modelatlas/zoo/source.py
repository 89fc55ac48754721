"""Sources: one module each behind a small protocol; third parties add theirs by entry point.

A source turns a spec into a card (data, nothing loaded) and into a network. What is common to all,
options, seeds, own checkpoints, checks of weights, is done once in `loading`. An entry point in the group
`modelatlas.sources` names an object of this protocol, or a class that makes one without arguments; its
name is the prefix of its specs.
"""

from collections.abc import Sequence
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from torch import nn

from modelatlas.errors import InputError
from modelatlas.fetch import Progress
from modelatlas.zoo.card import ModelCard
from modelatlas.zoo.sources.collected import CollectedSource
from modelatlas.zoo.sources.hf import HfSource
from modelatlas.zoo.sources.keras import KerasSource
from modelatlas.zoo.sources.mini import MiniSource
from modelatlas.zoo.sources.onnx import OnnxSource
from modelatlas.zoo.sources.package import PackageSource
from modelatlas.zoo.sources.python import PythonSource
from modelatlas.zoo.sources.slim import SlimSource
from modelatlas.zoo.sources.taskonomy import TaskonomySource
from modelatlas.zoo.sources.timm import TimmSource
from modelatlas.zoo.sources.torchvision import TorchvisionSource
from modelatlas.zoo.spec import ModelSpec

__all__ = [
    "ENTRY_POINT_GROUP",
    "CodeBringingSource",
    "FetchingSource",
    "Source",
    "WeightReadingSource",
    "broken_sources",
    "source_for",
    "sources",
]

ENTRY_POINT_GROUP: Final = "modelatlas.sources"


@runtime_checkable
class Source(Protocol):
    """A family of models that a prefix names.

    Attributes
    ----------
    prefix
        What stands before the colon.
    summary
        One line for `zoo list`.
    options
        Keys of its own, beside weights, layer and random.
    runs_user_code
        True: its models run only with `--trust-code`.
    """

    @property
    def prefix(self) -> str: ...  # noqa: D102
    @property
    def summary(self) -> str: ...  # noqa: D102
    @property
    def options(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def runs_user_code(self) -> bool: ...  # noqa: D102

    def names(self) -> Sequence[str]:
        """Names that it knows, sorted; empty where they cannot be listed."""
        ...

    def card(self, spec: ModelSpec) -> ModelCard:
        """Tell what is known without loading or fetching anything.

        Raises
        ------
        InputError
            No such name.
        """
        ...

    def build(self, spec: ModelSpec, *, pretrained: bool) -> nn.Module:
        """Make the network: with its published weights, or freshly initialised from torch's random state.

        Raises
        ------
        ModelError, FetchError
            It cannot be built, or its weights cannot be had.
        """
        ...


@runtime_checkable
class FetchingSource(Source, Protocol):
    """A source that fetches its weights."""

    def fetch(self, spec: ModelSpec, *, file: Path | None = None, progress: Progress | None = None) -> Path:
        """Have the weights on this machine, from where they come or from a file got by hand."""
        ...


@runtime_checkable
class CodeBringingSource(Source, Protocol):
    """A source some of whose models bring code of their own, which runs only with `--trust-code`."""

    def brings_code(self, spec: ModelSpec) -> bool:
        """Whether this one does; its description may be fetched, nothing of it is run."""
        ...


@runtime_checkable
class WeightReadingSource(Source, Protocol):
    """A source that reads `weights=` itself: its checkpoints are no state dicts of torch."""

    def read_weights(self, spec: ModelSpec, network: nn.Module, file: Path) -> None:
        """Put a checkpoint into what `build` made; every name and shape must fit.

        Raises
        ------
        ModelError
            It cannot be read, or does not fit.
        """
        ...


def source_for(spec: ModelSpec) -> Source:
    """Find the source of a spec, and check that it takes the spec's keys.

    Raises
    ------
    InputError
        Unknown source or key.
    """
    known = sources()
    if spec.source not in known:
        why = broken_sources().get(spec.source)
        raise InputError(
            f"{spec.text}: "
            + (why or f"unknown source {spec.source!r}; known are {', '.join(sorted(known))}")
        )
    source = known[spec.source]
    allowed = ("weights", "layer", "random", *source.options)
    for key in spec.options:
        if key not in allowed:
            raise InputError(f"{spec.text}: unknown key {key!r}; {spec.source}: takes {', '.join(allowed)}")
    return source


def sources() -> dict[str, Source]:
    """All sources by prefix: ours, then those of installed packages."""
    return dict(_discovered()[0])


def broken_sources() -> dict[str, str]:
    """Entry points that give no source, by name, and why; they do not keep the others from working."""
    return dict(_discovered()[1])


@cache
def _discovered() -> tuple[dict[str, Source], dict[str, str]]:
    found: dict[str, Source] = {
        source.prefix: source
        for source in (
            CollectedSource(),
            HfSource(),
            KerasSource(),
            MiniSource(),
            OnnxSource(),
            PackageSource(),
            PythonSource(),
            SlimSource(),
            TaskonomySource(),
            TimmSource(),
            TorchvisionSource(),
        )
    }
    broken: dict[str, str] = {}
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: (point.name, point.value)):
        try:
            loaded = point.load()
            source = loaded() if isinstance(loaded, type) else loaded
        except Exception as error:  # whatever a foreign package raises on import
            why = f"cannot be loaded: {error!r}"
        else:
            if point.name in found:
                why = "claims a prefix that is taken"
            elif isinstance(source, Source) and source.prefix == point.name:
                found[point.name] = source
                continue
            else:
                why = f"is no source named {point.name!r}"
        package = point.dist.name if point.dist else "an unknown package"
        broken[point.name] = (
            f"the source {point.name!r} ({point.value}) of {package} {why}; repair or uninstall that package"
        )
    return found, broken
