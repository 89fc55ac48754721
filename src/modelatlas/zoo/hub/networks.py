"""Networks of the transformers library that take pixels: one tensor in, one tensor out.

Of a repository or folder the network is the one that its configuration names (`architectures`), if that
takes `pixel_values`; else, where image and text meet, its image tower. A bare model type is made with the
library's default configuration, with a classification head where the library has one.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from modelatlas.errors import InputError, MissingExtraError, ModelError
from modelatlas.zoo._torchvision_ops import declare_missing_ops
from modelatlas.zoo.measured import measured_preprocess
from modelatlas.zoo.preprocess import Preprocess
from modelatlas.zoo.weights import without_wrappers

__all__ = ["PixelNetwork", "brings_code", "from_folder", "from_type", "model_types", "read_config", "renamed"]

_PIXELS: Final = "pixel_values"


class PixelNetwork(nn.Module):
    """A transformers model as a function of pixels.

    Attributes
    ----------
    model
        The library's own model.
    preprocess
        What it expects, measured on its image processor.
    """

    def __init__(self, model: nn.Module, preprocess: Preprocess) -> None:
        super().__init__()
        self.model = model
        self.preprocess = preprocess

    def forward(self, images: Tensor) -> Tensor:
        """[N, C, H, W] -> the first tensor that the model returns: logits, hidden states, a depth map."""
        return _first(self.model(pixel_values=images))


def transformers() -> ModuleType:
    """Import the library.

    Raises
    ------
    MissingExtraError
        It, or torchvision, which its image processors need, is not installed.
    """
    declare_missing_ops()
    for package in ("torchvision", "transformers"):
        try:
            module = __import__(package)
        except ModuleNotFoundError as error:
            raise MissingExtraError(package, extra="hf", needed_for="the source hf:") from error
    return module


def model_types() -> list[str]:
    """Model types that take pixels, sorted."""
    auto = transformers().models.auto.modeling_auto
    return sorted({*auto.MODEL_FOR_IMAGE_MAPPING_NAMES, *auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES})


def read_config(folder: Path, *, model: str) -> dict[str, Any]:
    """Read the configuration of a folder, as plain data.

    Raises
    ------
    ModelError
        There is none, or it is no JSON object.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(model, f"{path} cannot be read as a configuration ({error})") from error
    if not isinstance(config, dict):
        raise ModelError(model, f"{path} is no configuration: it holds a {type(config).__name__}")
    return config


def brings_code(config: dict[str, Any]) -> bool:
    """Whether the network's class is not the library's, but comes with the repository."""
    known = transformers().models.auto.configuration_auto.CONFIG_MAPPING_NAMES
    return "auto_map" in config and config.get("model_type") not in known


def from_folder(folder: Path, *, pretrained: bool, model: str) -> PixelNetwork:
    """Make the network of a folder, with its weights or fresh ones.

    Code that the folder brings runs; whoever calls has asked whether that is trusted.

    Raises
    ------
    InputError
        It takes no pixels.
    ModelError
        Its weights do not fit its configuration.
    """
    library = transformers()
    trusted = brings_code(read_config(folder, model=model))
    with _quiet():
        config = library.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=trusted)
        if trusted:
            kind, config = _brought(library, config), config
        else:
            kind, config = _named(library, config, model=model)
        preprocess = _preprocess(library, config, folder, trusted=trusted, model=model)
        options = {"trust_remote_code": True} if trusted else {}
        if not pretrained:
            make = kind.from_config if trusted else kind._from_config
            return PixelNetwork(make(config, **options).float(), preprocess)
        network, told = kind.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            dtype=torch.float32,
            output_loading_info=True,
            **options,
        )
    if missing := sorted(told["missing_keys"]):
        raise ModelError(
            model,
            f"the weights in {folder} lack {len(missing)} of the network's (first: {missing[0]!r}), which "
            "would be left random; is it the checkpoint of another head?",
        )
    return PixelNetwork(network, preprocess)


def from_type(name: str, *, model: str) -> PixelNetwork:
    """Make a network of a model type with the library's default configuration and fresh weights.

    Raises
    ------
    InputError
        Such models take no pixels.
    """
    library = transformers()
    with _quiet():
        config = library.AutoConfig.for_model(name)
        kind = _filed(library.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING, config)
        if kind is None:
            kind, config = _named(library, config, model=model)
        preprocess = _preprocess(library, config, None, trusted=False, model=model)
        return PixelNetwork(kind._from_config(config), preprocess)


def renamed(network: PixelNetwork, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give a checkpoint the names of the network's own parameters.

    On disk the library keeps the names of old; it renames (and splits or joins) while it loads. What it finds
    missing, foreign or of another shape is passed on as it is: whoever puts the result in names it.
    """
    with _quiet():
        made, told = type(network.model).from_pretrained(  # type: ignore[attr-defined]
            None,
            config=network.model.config,
            state_dict=without_wrappers(state),
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    own = {name: tensor for name, tensor in made.state_dict().items() if name not in told["missing_keys"]}
    odd = {*told["unexpected_keys"], *(name for name, *_ in told["mismatched_keys"])}
    own |= {name: tensor for name, tensor in without_wrappers(state).items() if name in odd}
    return {f"model.{name}": tensor for name, tensor in own.items()}


def _named(library: Any, config: Any, *, model: str) -> tuple[Any, Any]:
    """Class and configuration of the part that takes pixels."""
    for name in config.architectures or ():
        kind = getattr(library, name, None)
        if kind is not None and kind.main_input_name == _PIXELS:
            return kind, config
    for part in (config, getattr(config, "vision_config", None)):
        if part is None or (part is config and config.architectures):
            continue
        if (kind := _filed(library.MODEL_MAPPING, part)) is not None:
            return kind, part
    what = ", ".join(config.architectures or ()) or config.model_type
    raise InputError(f"{model}: {what} takes no pixels alone; only image models can be charted")


def _filed(mapping: Any, config: Any) -> Any | None:
    """Class that the library files under a configuration, if it takes pixels; of several the first."""
    found = mapping.get(type(config), None)
    kind = found[0] if isinstance(found, tuple) else found
    return kind if kind is not None and kind.main_input_name == _PIXELS else None


def _brought(library: Any, config: Any) -> Any:
    """Automatic class under which the repository files its own."""
    order = (
        "AutoModelForImageClassification",
        "AutoModelForDepthEstimation",
        "AutoModelForSemanticSegmentation",
    )
    name = next((name for name in order if name in config.auto_map), "AutoModel")
    return getattr(library, name)


def _preprocess(library: Any, config: Any, folder: Path | None, *, trusted: bool, model: str) -> Preprocess:
    """Measure the image processor: the folder's own, else the library's default with the network's size."""
    if folder is not None and any(
        (folder / name).is_file() for name in ("preprocessor_config.json", "processor_config.json")
    ):
        processor = library.AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=trusted
        )
        return _measured(processor, model=model)
    names = library.models.auto.image_processing_auto.IMAGE_PROCESSOR_MAPPING_NAMES.get(config.model_type, {})
    known = Preprocess(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    if kind := names.get("torchvision"):
        known = _measured(getattr(library, kind)(), model=model)
    size = getattr(config, "image_size", None)
    if size is None:
        return known
    height, width = (size, size) if isinstance(size, int) else size
    return Preprocess(height, width, known.range, known.mean, known.std, known.channel_order)


def _measured(processor: Any, *, model: str) -> Preprocess:
    def transform(picture: np.ndarray) -> np.ndarray:
        made = processor(images=picture, input_data_format="channels_last", return_tensors="np")[_PIXELS]
        return np.asarray(made[0])

    return measured_preprocess(transform, model=model)


def _first(output: Any) -> Tensor:
    for value in output.values() if isinstance(output, dict) else output:
        if isinstance(value, Tensor):
            if value.is_floating_point():
                return value
        elif isinstance(value, (dict, tuple, list)):
            return _first(value)
    raise TypeError("the model returns no tensor of floating-point numbers")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's advice and progress bars off the terminal; what matters is raised or checked."""
    from transformers.utils import logging as library_logging

    logger = logging.getLogger("transformers")
    before, bars = logger.level, library_logging.is_progress_bar_enabled()
    logger.setLevel(logging.ERROR)
    library_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logger.setLevel(before)
        if bars:
            library_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
