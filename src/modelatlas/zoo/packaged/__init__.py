"""Pretrained networks that registry packages ship, their architectures stated by us."""

from modelatlas.zoo.packaged.cards import PACKAGED, PackagedNetwork

__all__ = ["PACKAGED", "PackagedNetwork"]
