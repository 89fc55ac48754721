"""From a spec to a card, and to a network that is ready to be charted."""

import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from modelatlas.errors import InputError, ModelAtlasError, ModelError, in_words
from modelatlas.fetch import Progress
from modelatlas.zoo.card import ModelCard, WeightFile
from modelatlas.zoo.input_options import INPUT_OPTIONS, with_input_options
from modelatlas.zoo.preprocess import Preprocess
from modelatlas.zoo.source import (
    CodeBringingSource,
    FetchingSource,
    Source,
    WeightReadingSource,
    source_for,
)
from modelatlas.zoo.spec import ModelSpec
from modelatlas.zoo.weights import check_finite, load_into, read_state_dict, refusal, weights_digest

__all__ = ["LoadedModel", "architecture", "card", "fetch_weights", "load"]


@dataclass(frozen=True)
class LoadedModel:
    """A network with all that charting needs.

    Attributes
    ----------
    card
        Its card, parameters counted.
    module
        In eval mode, on the CPU, float32.
    preprocess
        From a probe image's square to its input.
    layer
        Target layer (dotted); None: the attribution room chooses.
    weights_digest
        SHA-256 over its state dict.
    """

    card: ModelCard
    module: nn.Module
    preprocess: Preprocess
    layer: str | None
    weights_digest: str


def card(spec: ModelSpec | str) -> ModelCard:
    """Card of a model; nothing is loaded, fetched or run.

    Raises
    ------
    InputError
        A malformed spec, an unknown source, name or key; an own checkpoint that is not there.
    """
    parsed = ModelSpec.parse(spec) if isinstance(spec, str) else spec
    return _card(source_for(parsed), parsed)


def load(spec: ModelSpec | str, *, trust_code: bool = False) -> LoadedModel:
    """Load a model: published weights, the user's own (`weights=`), or untrained ones (`random=`).

    torch's global random state is left as it was.

    Parameters
    ----------
    trust_code
        Allow sources that run the user's code.

    Raises
    ------
    InputError
        As `card`; the source runs code and `trust_code` is False; the layer does not exist.
    ModelError
        It cannot be built, or its weights do not fit or hold NaN.
    FetchError
        Its weights cannot be had.
    """
    parsed = ModelSpec.parse(spec) if isinstance(spec, str) else spec
    source = source_for(parsed)
    module = _build(
        source, parsed, trust_code=trust_code, pretrained=parsed.weights is None and parsed.seed is None
    )
    if parsed.weights is not None:
        _put_weights(source, parsed, module, parsed.weights)
    check_finite(module, model=parsed.text)
    known = _finished_card(source, parsed, module)
    return LoadedModel(
        card=known,
        module=module,
        preprocess=known.input,
        layer=known.layer,
        weights_digest=weights_digest(module),
    )


def fetch_weights(
    spec: ModelSpec | str, *, file: Path | None = None, progress: Progress | None = None
) -> list[Path]:
    """Have a model's weights on this machine before they are needed.

    Parameters
    ----------
    file
        Archive or weights file that was got by hand.
    progress
        Called with the bytes at hand and the whole size, where the source's way of fetching tells them.

    Returns
    -------
        Where they lie; empty for models without weights of their own to fetch.

    Raises
    ------
    InputError
        `file` is given and the source fetches none.
    FetchError, ModelError
        As `load`.
    """
    parsed = ModelSpec.parse(spec) if isinstance(spec, str) else spec
    source = source_for(parsed)
    if isinstance(source, FetchingSource) and parsed.weights is None and parsed.seed is None:
        return [source.fetch(parsed, file=file, progress=progress)]
    if file is not None:
        raise InputError(
            f"{parsed.text}: {parsed.source}: fetches nothing; name your file with ?weights={file}"
        )
    return []


def architecture(spec: ModelSpec | str, *, trust_code: bool = False) -> tuple[ModelCard, nn.Module]:
    """Make the card, parameters counted, and the network untrained: a download only where a file states it.

    Raises
    ------
    InputError, ModelError
        As `load`.
    """
    parsed = ModelSpec.parse(spec) if isinstance(spec, str) else spec
    source = source_for(parsed)
    module = _build(source, parsed, trust_code=trust_code, pretrained=False)
    return _finished_card(source, parsed, module), module


def _put_weights(source: Source, spec: ModelSpec, module: nn.Module, file: Path) -> None:
    if isinstance(source, WeightReadingSource):
        source.read_weights(spec, module, file)
        return
    state = read_state_dict(file, model=spec.text)
    load_into(module, state, model=spec.text, path=file)


def _build(source: Source, spec: ModelSpec, *, trust_code: bool, pretrained: bool) -> nn.Module:
    """Build under a forked random state, seeded by `random=` (0 where the weights will be replaced)."""
    if not trust_code and (
        source.runs_user_code or (isinstance(source, CodeBringingSource) and source.brings_code(spec))
    ):
        raise InputError(
            f"{spec.text}: {spec.source}: models run code of their own; add --trust-code if you trust it "
            "(in Python: trust_code=True). Nothing was run"
            if source.runs_user_code
            else f"{spec.text} brings code of its own; add --trust-code if you trust it (in Python: "
            "trust_code=True). Nothing was run"
        )
    _card(source, spec)  # a wrong name or option is found before anything is fetched or built
    try:
        with torch.random.fork_rng(devices=[]):
            # not torch.manual_seed, which seeds every GPU too
            torch.default_generator.manual_seed(spec.seed or 0)
            module = source.build(spec, pretrained=pretrained)
    except ModelAtlasError:
        raise
    except pickle.UnpicklingError as error:  # of a library that reads weights itself
        raise ModelError(spec.text, f"a file of its weights {refusal(error)}") from error
    except (Exception, SystemExit) as error:
        # whatever a library or the user's factory raises, a script's sys.exit() too; the run goes on without
        raise ModelError(spec.text, f"cannot be built: {in_words(error)}") from error
    if not isinstance(module, nn.Module):
        raise ModelError(spec.text, f"its source made a {type(module).__name__}, not a torch.nn.Module")
    return module.eval()


def _finished_card(source: Source, spec: ModelSpec, module: nn.Module) -> ModelCard:
    known = _card(source, spec)
    if known.layer is not None and known.layer not in dict(module.named_modules()):
        raise InputError(
            f"{spec.text}: no layer {known.layer!r} in it; "
            f"`modelatlas zoo layers '{spec.source}:{spec.name}'` lists them"
        )
    counted = sum(parameter.numel() for parameter in module.parameters())
    own = getattr(module, "preprocess", None)  # how a network that knows what it expects says so
    if isinstance(own, Preprocess):
        known = replace(known, input=_input(own, source, spec))
    return replace(known, parameters=counted)


def _card(source: Source, spec: ModelSpec) -> ModelCard:
    """Take the source's card; untrained weights, an own checkpoint, a chosen layer are told alike for all."""
    known = source.card(spec)
    changes: dict[str, object] = {"input": _input(known.input, source, spec)}
    if spec.seed is not None:
        changes |= {"trained": False, "weights": ()}
    if spec.weights is not None:
        path = spec.weights
        # a checkpoint of TensorFlow is named by what its files begin with
        if not path.exists() and not path.with_name(f"{path.name}.index").is_file():
            raise InputError(f"{spec.text}: there is no weights file {path}; check weights=. Nothing was run")
        several = isinstance(source, WeightReadingSource)  # known by their content
        form = "safetensors" if path.suffix == ".safetensors" else None if several else "torch"
        size = path.stat().st_size if path.is_file() else None
        changes["weights"] = (WeightFile(url=str(path), bytes=size, format=form),)
    if spec.layer is not None and spec.layer != known.layer:
        changes |= {"layer": spec.layer, "layer_shape": None}
    return replace(known, **changes)  # type: ignore[arg-type]


def _input(known: Preprocess, source: Source, spec: ModelSpec) -> Preprocess:
    return with_input_options(known, spec) if set(INPUT_OPTIONS) <= set(source.options) else known
