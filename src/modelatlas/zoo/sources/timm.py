"""`timm:<name>[.<tag>]`: image models of the timm library.

Size, mean and std are the weights' own (timm's pretrained configuration); the crop fraction is not used.
Weights come by timm's own loader from where its configuration points to.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from types import ModuleType
from typing import Any

from torch import nn

from modelatlas.errors import FetchError, InputError, MissingExtraError
from modelatlas.zoo._torchvision_ops import declare_missing_ops
from modelatlas.zoo.card import ModelCard, WeightFile
from modelatlas.zoo.preprocess import Preprocess
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
            group="semantic",
            licence=config.license,
            citation=config.paper_ids if isinstance(config.paper_ids, str) else None,
            input=Preprocess(height=height, width=width, mean=tuple(config.mean), std=tuple(config.std)),
            weights=_weight_files(config),
        )

    def build(self, spec: ModelSpec, *, pretrained: bool) -> nn.Module:
        """Make the model; weights by timm's loader."""
        timm = _timm()
        config = _config(spec)
        if not pretrained:
            return _module(timm.create_model(spec.name, pretrained=False))
        if not config.has_weights:
            raise InputError(f"{spec.text}: timm has no weights for it; add ?random=0 or ?weights=FILE")
        try:
            return _module(timm.create_model(spec.name, pretrained=True))
        except Exception as error:  # the hub's client has had errors of many bases
            said = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise FetchError(
                f"{spec.text}: its weights could not be fetched ({said}); check the network, or name a file "
                "of yours with ?weights=FILE, or chart it untrained with ?random=0"
            ) from error


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
    if config.hf_hub_id:  # what timm's loader prefers
        file = config.hf_hub_filename or "model.safetensors"
        url = f"https://huggingface.co/{config.hf_hub_id}/resolve/main/{file}"
        return (WeightFile(url=url, format="safetensors" if file.endswith(".safetensors") else "torch"),)
    return (WeightFile(url=config.url, format="torch"),) if config.url else ()


def _module(made: Any) -> nn.Module:
    assert isinstance(made, nn.Module)
    return made
