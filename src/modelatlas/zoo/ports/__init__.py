"""The paper's models: cards (data), networks, and how their official files become the networks' weights."""

from modelatlas.zoo.ports.port import Origin, Port
from modelatlas.zoo.ports.source import PortedSource

__all__ = ["Origin", "Port", "PortedSource"]
