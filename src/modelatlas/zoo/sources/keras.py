"""`keras:<name>`: ImageNet classifiers of keras.applications, and models that Keras 3 saved, on torch.

`keras:ResNet50`, with `weights=FILE` (.keras, .h5), `classes=` for a head of your own, or `random=SEED`;
`keras:./mine.keras`, a whole model of yours (`size=`, `mean=`, ... say what it expects). The published
weights come from where the library has them, by our own download. Logits are taken, not their softmax.
"""

import hashlib
import re
import tomllib
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
from torch import nn

from modelatlas.errors import FetchError, InputError, ModelError
from modelatlas.fetch import Progress
from modelatlas.zoo.card import ModelCard, WeightFile
from modelatlas.zoo.input_options import INPUT_OPTIONS, with_input_options
from modelatlas.zoo.keras_models.backend import building, keras_on_torch
from modelatlas.zoo.keras_models.network import KerasNetwork
from modelatlas.zoo.measured import measured_preprocess
from modelatlas.zoo.preprocess import Preprocess
from modelatlas.zoo.published import published_weights
from modelatlas.zoo.spec import ModelSpec
from modelatlas.zoo.weights import load_into, read_state_dict

__all__ = ["KerasSource"]

_SAVED: Final = (".keras", ".h5", ".hdf5")
_PLAIN: Final = Preprocess(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class KerasSource:
    """Classifiers of keras.applications, and saved Keras models."""

    prefix = "keras"
    summary = "keras:<name or file>, ImageNet classifiers of keras.applications, and saved Keras models"
    options = ("classes", *INPUT_OPTIONS)
    runs_user_code = False

    def names(self) -> Sequence[str]:
        """All classifiers, sorted."""
        return sorted(applications())

    def card(self, spec: ModelSpec) -> ModelCard:
        """Card from the library's data; of a saved model nothing is known before it is loaded."""
        classes = _classes(spec)
        if _is_file(spec):
            if classes is not None:
                raise InputError(f"{spec.text}: classes= is for the classifiers of keras.applications")
            file = WeightFile(url=str(spec.path), bytes=spec.path.stat().st_size, format="keras")
            return ModelCard(name=spec.text, spec=spec.text, input=_PLAIN, weights=(file,))
        known = _application(spec)
        return ModelCard(
            name=spec.text,
            spec=spec.text,
            task="classification",
            group="semantic",
            citation=f"https://keras.io/api/applications/ ({spec.name})",
            parameters=known["parameters"] if classes is None else None,
            input=_preprocess(known["family"], known["size"], model=spec.text),
            weights=(WeightFile(url=known["url"], sha256=known.get("sha256"), format="hdf5"),),
        )

    def build(self, spec: ModelSpec, *, pretrained: bool) -> nn.Module:
        """Make the model, with its weights or fresh ones."""
        if _is_file(spec):
            return _saved(spec)
        known, classes = _application(spec), _classes(spec)
        if pretrained and classes is not None:
            raise InputError(
                f"{spec.text}: the published weights have 1000 classes; name your own with weights=FILE"
            )
        size = self.card(spec).input if "size" not in spec.options else with_input_options(_PLAIN, spec)
        with building() as keras:
            model = getattr(keras.applications, spec.name)(
                weights=None,
                classes=classes or 1000,
                classifier_activation=None,
                input_shape=(size.height, size.width, 3),
            )
        network = KerasNetwork(model, _preprocess(known["family"], known["size"], model=spec.text))
        if pretrained:
            self.read_weights(spec, network, self.fetch(spec))
        return network

    def read_weights(self, spec: ModelSpec, network: nn.Module, file: Path) -> None:
        """Put a file of Keras, or a state dict of torch, into a network."""
        assert isinstance(network, KerasNetwork)
        if not file.is_file():
            raise ModelError(spec.text, f"there is no weights file {file}; check weights=")
        if file.suffix not in _SAVED:
            load_into(network, read_state_dict(file, model=spec.text), model=spec.text, path=file)
            return
        try:
            with keras_on_torch().device("cpu"):
                network.keras_model.load_weights(str(file))
        except Exception as error:  # whatever h5py, zipfile or Keras raise on a file that does not fit
            lines = " ".join(str(error).split())[:300]
            raise ModelError(
                spec.text, f"{file} does not fit the network, or is no file of Keras weights ({lines})"
            ) from error

    def fetch(self, spec: ModelSpec, *, file: Path | None = None, progress: Progress | None = None) -> Path:
        """Have the published weights in our cache; the checksum that the library states must hold."""
        if _is_file(spec):
            return spec.path
        known = _application(spec)
        path = published_weights(
            known["url"], model=spec.text, folder=f"keras-{spec.name}", file=file, progress=progress
        )
        kind = next((kind for kind in ("sha256", "md5") if kind in known), None)
        if kind is not None and hashlib.new(kind, path.read_bytes()).hexdigest() != known[kind]:
            path.unlink()
            raise FetchError(
                f"{spec.text}: the {kind.upper()} of {path.name} is not {known[kind]}, as keras states; it "
                "was removed: run again"
            )
        return path


@cache
def applications() -> dict[str, dict[str, Any]]:
    """Read family, input size, parameters, address and checksum of each classifier, by name."""
    content = (files("modelatlas.zoo.keras_models") / "applications.toml").read_text(encoding="utf-8")
    return tomllib.loads(content)


def _application(spec: ModelSpec) -> dict[str, Any]:
    known = applications()
    if spec.name not in known:
        lower = {name.lower(): name for name in known}
        close = [lower[name] for name in get_close_matches(spec.name.lower(), lower, n=3)]
        hint = (
            f"did you mean {', '.join(close)}?" if close else "`modelatlas zoo list keras:` lists its names"
        )
        raise InputError(f"{spec.text}: keras.applications has no {spec.name!r} that runs on torch; {hint}")
    return known[spec.name]


def _is_file(spec: ModelSpec) -> bool:
    if not spec.name.endswith(_SAVED):
        return False
    if not spec.path.is_file():
        raise InputError(f"{spec.text}: there is no file {spec.path}")
    return True


def _classes(spec: ModelSpec) -> int | None:
    value = spec.options.get("classes")
    if value is not None and not re.fullmatch(r"[1-9][0-9]{0,5}", value):
        raise InputError(f"{spec.text}: classes={value} is no number of classes")
    return None if value is None else int(value)


@cache
def _preprocess(family: str, size: int, *, model: str) -> Preprocess:
    """Measure the family's own `preprocess_input`; the size is the classifier's default."""
    module = getattr(keras_on_torch().applications, family)

    def transform(picture: np.ndarray) -> np.ndarray:
        made = module.preprocess_input(picture[None].astype(np.float32), data_format="channels_last")
        return np.ascontiguousarray(np.asarray(made, np.float32)[0].transpose(2, 0, 1))

    known = measured_preprocess(transform, model=model)
    return Preprocess(size, size, known.range, known.mean, known.std, known.channel_order)


def _saved(spec: ModelSpec) -> nn.Module:
    """Load a whole model: its layers are Keras's own; one that would run code is refused by Keras."""
    with building() as keras:
        try:
            model = keras.saving.load_model(str(spec.path), compile=False, safe_mode=True)
        except Exception as error:  # Keras raises all kinds on a damaged file and on what it refuses
            raise ModelError(
                spec.text, f"keras cannot load {spec.path} ({' '.join(str(error).split())[:300]})"
            ) from error
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[-1] not in (1, 3):
        raise ModelError(spec.text, f"its input is {shape}, not one image with channels last")
    grey = shape[-1] == 1
    scaled = any(type(layer).__name__ == "Rescaling" for layer in model.layers[:3])
    preprocess = Preprocess(
        height=shape[1] or 224,
        width=shape[2] or 224,
        range=(0.0, 255.0) if scaled else (0.0, 1.0),
        mean=(0.0,) * shape[-1],
        std=(1.0,) * shape[-1],
        channel_order="L" if grey else "RGB",
    )
    return KerasNetwork(model, preprocess)
