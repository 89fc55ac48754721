"""`timm:<name>[.<tag>]`: image models of the timm library.

Size, mean and std are the weights' own (timm's pretrained configuration); the crop fraction is not used.
Weights come from where that configuration points to, by our own download, and are loaded by timm.
"""

import os
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from modelatlas.errors import InputError, MissingExtraError
from modelatlas.fetch import Progress
from modelatlas.zoo._torchvision_ops import declare_missing_ops
from modelatlas.zoo.card import ModelCard, WeightFile
from modelatlas.zoo.preprocess import Preprocess
from modelatlas.zoo.published import published_weights
from modelatlas.zoo.spec import ModelSpec

__all__ = ["TimmSource"]


class TimmSource:
    """Models of the timm library."""

    prefix = "timm"
    summary = "timm:<name>, image models of the timm library"
    options = ()
    runs_user_code = False

    def names(self) -> Sequence[str]:
        """All architectures that this version of timm has."""
        return sorted(_timm().list_models())

    def card(self, spec: ModelSpec) -> ModelCard:
        """Card from timm's pretrained configuration."""
        config = _config(spec)
        channels, height, width = config.input_size
        if channels != 3:
            raise InputError(f"{spec.text}: takes {channels} input channels; only RGB networks are charted")
        return ModelCard(
            name=spec.text,
            spec=spec.text,
            task="classification" if config.num_classes else None,
            group="semantic" if config.num_classes else None,
            licence=config.license,
            citation=config.paper_ids if isinstance(config.paper_ids, str) else None,
            input=Preprocess(height=height, width=width, mean=tuple(config.mean), std=tuple(config.std)),
            weights=_weight_files(config),
        )

    def build(self, spec: ModelSpec, *, pretrained: bool) -> nn.Module:
        """Make the model, with its published weights or fresh ones."""
        timm = _timm()
        options = {"pretrained_cfg_overlay": {"file": str(self.fetch(spec))}} if pretrained else {}
        network = timm.create_model(spec.name, pretrained=pretrained, **options)
        assert isinstance(network, nn.Module)
        return network

    def fetch(self, spec: ModelSpec, *, file: Path | None = None, progress: Progress | None = None) -> Path:
        """Have the published weights: where the hub's client once put them, or in our cache."""
        config = _config(spec)
        if not config.has_weights:
            raise InputError(f"{spec.text}: timm has no weights for it; add ?random=0 or ?weights=FILE")
        if file is None and config.hf_hub_id and (kept := _in_hub_cache(config.hf_hub_id, _hub_file(config))):
            return kept
        name = f"{config.architecture}.{config.tag}" if config.tag else str(config.architecture)
        return published_weights(
            _url(config), model=spec.text, folder=f"timm-{name}", file=file, progress=progress
        )


def _timm() -> ModuleType:
    declare_missing_ops()
    try:
        import timm
    except ModuleNotFoundError as error:
        raise MissingExtraError("timm", extra="timm", needed_for="the source timm:") from error
    return timm


def _config(spec: ModelSpec) -> Any:
    timm = _timm()
    architecture = spec.name.partition(".")[0]
    if not timm.is_model(architecture):
        close = get_close_matches(architecture, timm.list_models(), n=3)
        hint = (
            f"did you mean {', '.join(close)}?" if close else "`timm.list_models()` in Python lists its names"
        )
        raise InputError(f"{spec.text}: timm {timm.__version__} has no model {architecture!r}; {hint}")
    try:
        return timm.get_pretrained_cfg(spec.name, allow_unregistered=False)
    except RuntimeError as error:
        known = ", ".join(timm.list_pretrained(f"{architecture}.*")) or "none for it"
        raise InputError(f"{spec.text}: no such weights; timm has {known}") from error


def _weight_files(config: Any) -> tuple[WeightFile, ...]:
    if not config.has_weights:
        return ()
    url = _url(config)
    return (WeightFile(url=url, format="safetensors" if url.endswith(".safetensors") else "torch"),)


def _url(config: Any) -> str:
    """Address of the weights: on the hub, which timm prefers too, else at their origin."""
    if not config.hf_hub_id:
        return str(config.url)
    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip(
        "/"
    )  # what the hub's own client reads
    return f"{hub}/{config.hf_hub_id}/resolve/main/{_hub_file(config)}"


def _hub_file(config: Any) -> str:
    return config.hf_hub_filename or "model.safetensors"


def _in_hub_cache(repository: str, file: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, file)
    return Path(found) if isinstance(found, str) else None
