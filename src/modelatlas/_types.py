"""Shapes and small vocabularies that several rooms share."""

from typing import Final, Literal, get_args

__all__ = ["DEFAULT_METHOD", "METHODS", "SIGNED", "Method"]

Method = Literal["saliency", "gradient-x-input", "epsilon-lrp"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)
DEFAULT_METHOD: Final[Method] = "gradient-x-input"
SIGNED: Final = frozenset({"gradient-x-input", "epsilon-lrp"})
"""Methods whose maps have signs."""
