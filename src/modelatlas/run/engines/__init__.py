"""Engines: the same work carried out in this process, or in one of its own."""

from modelatlas.run.engines.apart import ApartEngine
from modelatlas.run.engines.here import HereEngine
from modelatlas.run.engines.protocol import Engine

__all__ = ["ApartEngine", "Engine", "HereEngine"]
