"""`collected:<name>`: the models that the paper's authors collected (cards in `ports/collected.toml`).

Inpainting with four sets of weights, depth, faces aligned and found, semantic segmentation, colorization.
Most weights lie where a program cannot fetch them: `zoo fetch NAME --from FILE` takes what a browser brought.
Keys of their own: `hole=` (inpainting: side of the hole as a share of the picture's; the paper does not
publish its hole) and `classes=` (fcn-voc).
"""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from torch import nn

from modelatlas.errors import FetchError, InputError, ModelError
from modelatlas.fetch import Progress, cache_folder
from modelatlas.zoo.architectures.colorization_gan import Colorization, colorization_names
from modelatlas.zoo.architectures.fcn_vgg19 import FCNVGG19, fcn_names
from modelatlas.zoo.architectures.fcrn import FCRN, fcrn_names
from modelatlas.zoo.architectures.inpainting import Inpainting, inpainting_names
from modelatlas.zoo.architectures.prn import PRN, prn_names
from modelatlas.zoo.architectures.tiny_face import TinyFace, mean_colour, tiny_face_names, with_variances
from modelatlas.zoo.card import ModelCard
from modelatlas.zoo.checkpoints import Checkpoint, Filled, NameTable, open_checkpoint
from modelatlas.zoo.ports import Origin, Port, PortedSource
from modelatlas.zoo.ports.fetching import kept
from modelatlas.zoo.preprocess import Preprocess
from modelatlas.zoo.sources.torchvision import TorchvisionSource
from modelatlas.zoo.spec import ModelSpec

__all__ = ["CollectedSource"]

_INPUTS: Final[dict[str, Any]] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
_CLASSES: Final = re.compile(r"[1-9][0-9]{0,4}")
_SHARE: Final = re.compile(r"0?\.[0-9]{1,6}|0")


def _stand_in() -> nn.Module:
    return TorchvisionSource().build(ModelSpec.parse("torchvision:fcn_resnet50"), pretrained=False)


def _none_of_its_own(network: nn.Module) -> NameTable:
    raise ModelError("collected:fcn-voc-stand-in", "this file is no state dict of torchvision's fcn_resnet50")


_NETWORKS: Final[dict[str, tuple[Callable[..., nn.Module], Callable[[Any], NameTable]]]] = {
    "inpainting": (Inpainting, lambda _: inpainting_names()),
    "fcrn": (FCRN, fcrn_names),
    "prn": (PRN, lambda _: prn_names()),
    "fcn": (FCNVGG19, lambda _: fcn_names()),
    "stand-in": (_stand_in, _none_of_its_own),
    "tiny_face": (TinyFace, tiny_face_names),
    "colorization": (Colorization, lambda _: colorization_names()),
}


@dataclass(frozen=True)
class CollectedPort(Port):
    """A port whose files may be out of a program's reach.

    Attributes
    ----------
    network
        Its architecture (`collected.toml`).
    by_hand
        Where a person finds the weights; None: they can be fetched.
    """

    network: str = ""
    by_hand: str | None = None

    def read(self, checkpoint: Checkpoint, network: nn.Module, *, model: str) -> Filled:
        """Make a state dict of a checkpoint; of the face detector from either of its forms."""
        if self.network == "tiny_face":
            checkpoint = with_variances(checkpoint)
        return super().read(checkpoint, network, model=model)


class CollectedSource(PortedSource):
    """The models that the paper's authors collected."""

    ports: dict[str, CollectedPort]
    options = ("origin", "hole", "classes")

    def __init__(self) -> None:
        content = (files("modelatlas.zoo.ports") / "collected.toml").read_text(encoding="utf-8")
        super().__init__(
            "collected",
            "collected:<name>, the paper's inpainting, depth, face, segmentation and colorization models",
            {name: _collected(name, table) for name, table in tomllib.loads(content).items()},
        )

    def card(self, spec: ModelSpec) -> ModelCard:
        """Take the card that ships with us; hole and number of classes are the spec's."""
        known, port = super().card(spec), self.port(spec)
        if port.network == "fcn":
            known = replace(known, weights=())  # there are none to be had anywhere
        if (share := _share(spec, port)) is not None:
            known = replace(known, input=replace(known.input, hole=share))
        if (classes := _classes(spec, port)) is not None and known.layer_shape is not None:
            known = replace(known, layer_shape=(classes, *known.layer_shape[1:]), parameters=None)
        return known

    def read_weights(self, spec: ModelSpec, network: nn.Module, file: Path) -> None:
        """Put a checkpoint into the network; the face detector's tells its mean colour."""
        checkpoint = open_checkpoint(file)
        port = self.port(spec)
        port.load(checkpoint, network, model=spec.text)
        if port.network == "tiny_face" and (mean := mean_colour(checkpoint)) is not None:
            network.preprocess = replace(port.card.input, mean=mean)  # type: ignore[assignment]

    def fetch(self, spec: ModelSpec, *, file: Path | None = None, progress: Progress | None = None) -> Path:
        """Have the official files in the cache; most must be brought by hand."""
        port = self.port(spec)
        by_hand = cache_folder("weights", f"{self.prefix}-{spec.name}") / "by-hand"
        if file is None and port.by_hand is not None and kept(by_hand) is None:
            raise FetchError(
                f"{spec.text}: its weights are not where a program can fetch them ({port.by_hand}); get them "
                f"in a browser and name the file, `modelatlas zoo fetch {self.prefix}:{spec.name} --from "
                "FILE`, or chart it untrained with ?random=0"
            )
        return super().fetch(spec, file=file, progress=progress)

    def port(self, spec: ModelSpec) -> CollectedPort:
        """Find a spec's port, made with the spec's hole or number of classes."""
        port = super().port(spec)
        assert isinstance(port, CollectedPort)
        options: dict[str, Any] = {}
        if (share := _share(spec, port)) is not None:
            options["share"] = share
        if (classes := _classes(spec, port)) is not None:
            options["classes"] = classes
        return replace(port, build=partial(port.build, **options)) if options else port


def _share(spec: ModelSpec, port: CollectedPort) -> float | None:
    text = spec.options.get("hole")
    if text is None:
        return None
    if port.network != "inpainting" or not _SHARE.fullmatch(text):
        raise InputError(
            f"{spec.text}: hole={text} is not a share of an inpainting network's picture, from 0 to below 1 "
            "(as in hole=0.5)"
        )
    return float(text)


def _classes(spec: ModelSpec, port: CollectedPort) -> int | None:
    text = spec.options.get("classes")
    if text is None:
        return None
    if port.network != "fcn" or not _CLASSES.fullmatch(text):
        raise InputError(f"{spec.text}: classes={text} is not a number of classes (classes=151) of fcn-voc")
    return int(text)


def _collected(name: str, table: dict[str, Any]) -> CollectedPort:
    network, by_hand = table.pop("network"), table.pop("by_hand", None)
    form, archive, member = table.pop("format"), table.pop("archive", None), table.pop("member", None)
    build, names = _NETWORKS[network]
    values = {
        key: tuple(value) if isinstance(value, list) else value for key, value in table.pop("input").items()
    }
    return CollectedPort(
        card=ModelCard(
            name=f"collected:{name}",
            spec=f"collected:{name}",
            input=Preprocess(**_INPUTS | values),
            layer_shape=tuple(table.pop("layer_shape")),
            pretrained_encoder=table.pop("pretrained_encoder", "none"),
            **table,
        ),
        build=build,
        names=lambda network, _: names(network),
        origins=(
            Origin(
                "official",
                archive or by_hand,
                "archive" if member is not None else "file",
                form,
                member,
                offers_https=(archive or by_hand).startswith("https:"),
            ),
        ),
        network=network,
        by_hand=by_hand,
    )
