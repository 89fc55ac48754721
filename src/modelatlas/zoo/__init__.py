"""Models: specs, sources, cards, preprocessing, weights, zoo files."""

from modelatlas.zoo._torchvision_ops import declare_missing_ops
from modelatlas.zoo.card import ModelCard, WeightFile
from modelatlas.zoo.converting import Conversion, convert
from modelatlas.zoo.loading import LoadedModel, architecture, card, fetch_weights, load
from modelatlas.zoo.preprocess import Preprocess
from modelatlas.zoo.source import (
    ENTRY_POINT_GROUP,
    FetchingSource,
    Source,
    broken_sources,
    source_for,
    sources,
)
from modelatlas.zoo.spec import ModelSpec
from modelatlas.zoo.verifying import Verification, verify
from modelatlas.zoo.weights import weights_digest
from modelatlas.zoo.zoofile import Zoo, ZooEntry, builtin_zoos, find_model, read_zoo

__all__ = [
    "ENTRY_POINT_GROUP",
    "Conversion",
    "FetchingSource",
    "LoadedModel",
    "ModelCard",
    "ModelSpec",
    "Preprocess",
    "Source",
    "Verification",
    "WeightFile",
    "Zoo",
    "ZooEntry",
    "architecture",
    "broken_sources",
    "builtin_zoos",
    "card",
    "convert",
    "declare_missing_ops",
    "fetch_weights",
    "find_model",
    "load",
    "read_zoo",
    "source_for",
    "sources",
    "verify",
    "weights_digest",
]
