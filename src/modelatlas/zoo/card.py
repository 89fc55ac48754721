"""Cards: what is known of a model without loading it. Plain data."""

from dataclasses import asdict, dataclass, field
from typing import Any

from modelatlas.zoo.preprocess import Preprocess

__all__ = ["ModelCard", "WeightFile"]


@dataclass(frozen=True)
class WeightFile:
    """Where weights come from.

    Attributes
    ----------
    url, package
        One of them: an address or path, or `registry:name==version`.
    sha256
        Of the file itself, where its origin (or our card) states it.
    bytes
        Its size, where known.
    format
        safetensors, torch, onnx, hdf5, ...
    """

    url: str | None = None
    package: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    format: str | None = None


@dataclass(frozen=True)
class ModelCard:
    """A model as data.

    Attributes
    ----------
    name
        As it stands in tables and figures.
    spec
        The text it is loaded by.
    task, group
        What it was trained for, and a free-form group for colouring; None where nobody says.
    licence, citation
        Of the weights.
    training_data
        What it was trained on, where stated.
    pretrained_encoder
        What its encoder was trained on before (column of the paper's table 1), where stated.
    parameters
        Trainable weights of what is charted; None until counted.
    input
        Size, range, mean, std, channel order.
    layer, layer_shape
        Target layer (dotted) and the shape of its output without the batch axis; None: chosen when charted.
    weights
        Files; empty for untrained weights and for the user's own code.
    trained
        False: weights drawn from a seed.
    notes
        What a reader should know, one sentence or two.
    """

    name: str
    spec: str
    task: str | None = None
    group: str | None = None
    licence: str | None = None
    citation: str | None = None
    training_data: str | None = None
    pretrained_encoder: str | None = None
    parameters: int | None = None
    input: Preprocess = field(default_factory=Preprocess)
    layer: str | None = None
    layer_shape: tuple[int, ...] | None = None
    weights: tuple[WeightFile, ...] = ()
    trained: bool = True
    notes: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values in the order of `zoo show --json` (contract)."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return plain | {
            "input": self.input.as_dict(),
            "layer_shape": None if self.layer_shape is None else list(self.layer_shape),
            "weights": [
                {key: value for key, value in asdict(file).items() if value is not None}
                for file in self.weights
            ],
        }
