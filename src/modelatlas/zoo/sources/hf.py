"""`hf:<name>`: image models of the transformers library.

The name is a folder with a config.json (`hf:./my-model`), a repository on the hub (`hf:owner/name`, with
`revision=` a branch, tag or commit), or a model type (`hf:vit?random=0`), which has no weights of its own.
A repository that the hub's own client has in its cache is taken from there.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from torch import nn

from modelatlas.errors import InputError
from modelatlas.fetch import Progress
from modelatlas.zoo.card import ModelCard, WeightFile
from modelatlas.zoo.hub.networks import (
    PixelNetwork,
    brings_code,
    from_folder,
    from_type,
    model_types,
    read_config,
    renamed,
)
from modelatlas.zoo.hub.repository import HubRepository, describe, hub_repository, weight_files
from modelatlas.zoo.input_options import INPUT_OPTIONS
from modelatlas.zoo.spec import ModelSpec
from modelatlas.zoo.weights import load_into, read_state_dict

__all__ = ["HfSource"]

_TASKS: Final = {
    "ForImageClassification": "classification",
    "ForSemanticSegmentation": "semantic segmentation",
    "ForDepthEstimation": "depth",
    "ForObjectDetection": "object detection",
    "ForMaskedImageModeling": "masked image modelling",
}


class HfSource:
    """Image models of the transformers library."""

    prefix = "hf"
    summary = "hf:<owner/name, folder or model type>, image models of transformers"
    options = ("revision", *INPUT_OPTIONS)
    runs_user_code = False

    def names(self) -> Sequence[str]:
        """Model types that take pixels; the hub's repositories cannot be listed."""
        return model_types()

    def card(self, spec: ModelSpec) -> ModelCard:
        """Tell what is on this machine: a folder, or the description of a repository that was fetched."""
        folder = _folder(spec)
        if folder is not None:
            config = read_config(folder, model=spec.text)
            names = () if _replaced(spec) else weight_files(_names(folder), model=spec.text)
            files = tuple(
                WeightFile(url=str(folder / name), bytes=(folder / name).stat().st_size, format=_format(name))
                for name in names
            )
            return _described(spec, config, files, licence=None)
        if spec.name in model_types():
            return ModelCard(name=spec.text, spec=spec.text)
        known = _repository(spec, ask=False)
        if known is None or not (known.folder / "config.json").is_file():
            return ModelCard(name=spec.text, spec=spec.text)
        files = tuple(
            WeightFile(
                url=known.url(name),
                sha256=known.files[name].sha256,
                bytes=known.files[name].bytes,
                format=_format(name),
            )
            for name in (() if _replaced(spec) else weight_files(set(known.files), model=spec.text))
        )
        return _described(spec, read_config(known.folder, model=spec.text), files, licence=known.licence)

    def brings_code(self, spec: ModelSpec) -> bool:
        """Whether the model's class comes with its repository or folder; a type's is the library's."""
        if _folder(spec) is None and spec.name in model_types():
            return False
        return brings_code(read_config(_description(spec), model=spec.text))

    def build(self, spec: ModelSpec, *, pretrained: bool) -> nn.Module:
        """Make the network, with its weights or fresh ones."""
        if _folder(spec) is None and spec.name in model_types():
            if pretrained:
                raise InputError(
                    f"{spec.text}: a model type has no weights; name a repository of the hub (owner/name) "
                    "or a folder, or add ?random=0 or ?weights=FILE"
                )
            return from_type(spec.name, model=spec.text)
        folder = self.fetch(spec) if pretrained else _description(spec)
        return from_folder(folder, pretrained=pretrained, model=spec.text)

    def read_weights(self, spec: ModelSpec, network: nn.Module, file: Path) -> None:
        """Put a checkpoint in, under the library's names on disk or the network's own."""
        assert isinstance(network, PixelNetwork)
        state = read_state_dict(file, model=spec.text)
        load_into(network, renamed(network, state), model=spec.text, path=file)

    def fetch(self, spec: ModelSpec, *, file: Path | None = None, progress: Progress | None = None) -> Path:
        """Have a repository's description and weights in our cache; a user's folder stays where it is."""
        if file is not None:
            raise InputError(f"{spec.text}: name the folder of a repository got by hand instead: hf:{file}")
        if (folder := _local(spec)) is not None:
            return folder
        repository = _fetched_description(spec)
        return repository.fetch(
            weight_files(set(repository.files), model=spec.text), model=spec.text, progress=progress
        )


def _description(spec: ModelSpec) -> Path:
    """Folder with at least config.json, and code where it brings some."""
    return _local(spec) or _fetched_description(spec).folder


def _fetched_description(spec: ModelSpec) -> HubRepository:
    _refuse_misspelt(spec)
    repository = _repository(spec, ask=True)
    assert repository is not None
    if "config.json" not in repository.files:
        raise InputError(f"{spec.text}: the repository has no config.json, so is no model of transformers")
    repository.fetch(describe(set(repository.files)), model=spec.text)
    if brings_code(read_config(repository.folder, model=spec.text)):
        code = tuple(sorted(name for name in repository.files if name.endswith(".py")))
        repository.fetch(code, model=spec.text)
    return repository


def _local(spec: ModelSpec) -> Path | None:
    return _folder(spec) or _of_the_hubs_client(spec)


def _folder(spec: ModelSpec) -> Path | None:
    """Find the folder that a spec names, if its name is one."""
    if (spec.path / "config.json").is_file():
        return spec.path
    if spec.name.startswith((".", "/", "~")):
        raise InputError(f"{spec.text}: {spec.path} is no folder with a config.json")
    return None


def _replaced(spec: ModelSpec) -> bool:
    """Whether the weights are others than those that come with the network."""
    return spec.seed is not None or spec.weights is not None


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _repository(spec: ModelSpec, *, ask: bool) -> HubRepository | None:
    return hub_repository(spec.name, revision=spec.options.get("revision", "main"), model=spec.text, ask=ask)


def _of_the_hubs_client(spec: ModelSpec) -> Path | None:
    """Snapshot in the cache of the hub's client, if it has the weights."""
    from huggingface_hub import try_to_load_from_cache

    if spec.name.count("/") > 1:  # the client takes it for a mistake, and so shall we below
        return None
    found = try_to_load_from_cache(spec.name, "config.json", revision=spec.options.get("revision", "main"))
    if not isinstance(found, str):
        return None
    folder = Path(found).parent
    try:
        weight_files(_names(folder), model=spec.text)
    except InputError:
        return None
    return folder


def _refuse_misspelt(spec: ModelSpec) -> None:
    """Answer a name that looks like a model type at once, not with the hub's refusal."""
    if "/" not in spec.name and (close := get_close_matches(spec.name, model_types(), n=3)):
        raise InputError(
            f"{spec.text}: transformers has no model type {spec.name!r}; did you mean {', '.join(close)}?"
        )


def _described(
    spec: ModelSpec, config: dict[str, Any], files: tuple[WeightFile, ...], *, licence: str | None
) -> ModelCard:
    architecture = next(iter(config.get("architectures") or ()), "")
    task = next((task for ending, task in _TASKS.items() if architecture.endswith(ending)), None)
    return ModelCard(
        name=spec.text,
        spec=spec.text,
        task=task,
        group="semantic" if task in ("classification", "semantic segmentation") else None,
        licence=licence,
        weights=files,
    )


def _format(name: str) -> str:
    return "safetensors" if name.endswith(".safetensors") else "json" if name.endswith(".json") else "torch"
