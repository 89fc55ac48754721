"""`torchvision:<name>`: torchvision's classification and segmentation models with their default weights.

Size, mean and std are those of the weights' own transforms; their crop fraction is not used. Detection,
video, quantized and optical-flow models do not map one image tensor to activations and are refused.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from torch import nn

from modelatlas.errors import InputError, MissingExtraError
from modelatlas.fetch import Progress
from modelatlas.zoo._torchvision_ops import declare_missing_ops
from modelatlas.zoo.card import ModelCard, WeightFile
from modelatlas.zoo.preprocess import Preprocess
from modelatlas.zoo.published import published_weights
from modelatlas.zoo.spec import ModelSpec
from modelatlas.zoo.weights import load_into, read_state_dict

__all__ = ["TorchvisionSource"]

_REFUSED: Final = ("detection", "video", "quantization", "optical_flow")


class TorchvisionSource:
    """torchvision's models with their default weights."""

    prefix = "torchvision"
    summary = "torchvision:<name>, classification and segmentation models of torchvision"
    options = ()
    runs_user_code = False

    def names(self) -> Sequence[str]:
        """All names that can be charted, sorted."""
        models = _models()
        return sorted(name for name in models.list_models() if not _family(models, name).startswith(_REFUSED))

    def card(self, spec: ModelSpec) -> ModelCard:
        """Card from the default weights' metadata."""
        weights, family = _default_weights(spec)
        transforms = weights.transforms()
        size = getattr(transforms, "crop_size", None) or transforms.resize_size
        height, width = size[0], size[-1]
        segments = family.startswith("segmentation")
        return ModelCard(
            name=spec.text,
            spec=spec.text,
            task="semantic segmentation" if segments else "classification",
            group="semantic",
            licence="BSD-3-Clause",
            citation=weights.meta.get("recipe"),
            pretrained_encoder="ImageNet" if segments else None,
            parameters=weights.meta["num_params"],
            input=Preprocess(
                height=height, width=width, mean=tuple(transforms.mean), std=tuple(transforms.std)
            ),
            weights=(WeightFile(url=weights.url, bytes=_bytes(weights), format="torch"),),
        )

    def build(self, spec: ModelSpec, *, pretrained: bool) -> nn.Module:
        """Make the model, with its default weights or fresh ones."""
        network = _untrained(spec)
        if pretrained:
            path = self.fetch(spec)
            state = read_state_dict(path, model=spec.text)
            if (
                spec.name == "googlenet"
            ):  # auxiliary heads that the published weights hold, and nobody evaluates
                state = {name: tensor for name, tensor in state.items() if not name.startswith("aux")}
            load_into(network, state, model=spec.text, path=path)
        return network

    def fetch(self, spec: ModelSpec, *, file: Path | None = None, progress: Progress | None = None) -> Path:
        """Have the default weights in our cache; their file names carry a checksum that is compared."""
        weights, _ = _default_weights(spec)
        return published_weights(
            weights.url,
            model=spec.text,
            folder="torchvision",
            file=file,
            hash_in_name=True,
            progress=progress,
        )


def _untrained(spec: ModelSpec) -> nn.Module:
    """Build what the default weights fit into, as torchvision does for them, without a download."""
    weights, family = _default_weights(spec)
    options: dict[str, Any] = {"weights": None}
    if family.startswith("segmentation"):
        options |= {
            "weights_backbone": None,
            "num_classes": len(weights.meta["categories"]),
            "aux_loss": True,
        }
        if "lraspp" in spec.name:
            del options["aux_loss"]
    elif family in ("googlenet", "inception"):
        options |= {"init_weights": True, "transform_input": True, "aux_logits": family == "inception"}
    network = _models().get_model(spec.name, **options)
    assert isinstance(network, nn.Module)
    return network


def _models() -> ModuleType:
    declare_missing_ops()
    try:
        import torchvision.models
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "torchvision", extra="torchvision", needed_for="the source torchvision:"
        ) from error
    return torchvision.models  # type: ignore[no-any-return]


def _family(models: ModuleType, name: str) -> str:
    """Tell the module of a model's builder below `torchvision.models`: resnet, segmentation.fcn, ..."""
    return str(models.get_model_builder(name).__module__).removeprefix("torchvision.models.")


def _default_weights(spec: ModelSpec) -> tuple[Any, str]:
    models = _models()
    if spec.name not in models.list_models():
        close = get_close_matches(spec.name, models.list_models(), n=3)
        hint = (
            f"did you mean {', '.join(close)}?"
            if close
            else "`torchvision.models.list_models()` lists its names"
        )
        raise InputError(f"{spec.text}: torchvision has no model {spec.name!r}; {hint}")
    family = _family(models, spec.name)
    if family.startswith(_REFUSED):
        raise InputError(
            f"{spec.text}: torchvision's {family.partition('.')[0]} models do not map one image tensor to "
            "activations; name their backbone instead, as in torchvision:resnet50"
        )
    return models.get_model_weights(spec.name).DEFAULT, family


def _bytes(weights: Any) -> int | None:
    """Size of the file; torchvision states it in binary megabytes, to three places."""
    stated = weights.meta.get("_file_size")
    return None if stated is None else round(float(stated) * 2**20)
