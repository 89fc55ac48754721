"""Whether a model's weights are whole and its own, and its card true of it: `zoo verify`."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from modelatlas.errors import ModelAtlasError, in_words
from modelatlas.zoo.loading import LoadedModel, card, load
from modelatlas.zoo.spec import ModelSpec

__all__ = ["Verification", "verify"]


@dataclass(frozen=True)
class Verification:
    """What was found of one model.

    Attributes
    ----------
    spec
        As given.
    problems
        What is wrong, one sentence each; empty: all is right.
    weights_digest
        SHA-256 over its state dict; None where it could not be loaded.
    """

    spec: str
    problems: tuple[str, ...]
    weights_digest: str | None


def verify(spec: ModelSpec | str, *, trust_code: bool = False) -> Verification:
    """Load a model (checksums, names, shapes, finite numbers), run it once, and compare it with its card.

    Raises
    ------
    InputError
        The spec is wrong. All else is told in the result.
    """
    parsed = ModelSpec.parse(spec) if isinstance(spec, str) else spec
    stated = card(parsed)
    try:
        loaded = load(parsed, trust_code=trust_code)
        shape = _layer_shape(loaded)
    except ModelAtlasError as error:
        return Verification(parsed.text, (str(error),), None)
    except (Exception, SystemExit) as error:  # whatever the network raises when it runs
        return Verification(parsed.text, (f"it does not run: {in_words(error)}",), None)
    problems = []
    if stated.parameters is not None and stated.parameters != loaded.card.parameters:
        problems.append(f"it has {loaded.card.parameters:,} parameters, its card says {stated.parameters:,}")
    if stated.layer_shape is not None and shape is not None and shape != stated.layer_shape:
        problems.append(f"{loaded.layer} gives {shape}, its card says {stated.layer_shape}")
    return Verification(parsed.text, tuple(problems), loaded.weights_digest)


def _layer_shape(loaded: LoadedModel) -> tuple[int, ...] | None:
    """Shape of the target layer without the batch axis, by one picture of noise; None: no layer is stated."""
    square = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    shapes: list[tuple[int, ...]] = []

    def note(_: nn.Module, __: object, output: object) -> None:
        if isinstance(output, Tensor):
            shapes.append(tuple(output.shape[1:]))

    hook = None
    if loaded.layer is not None:
        hook = loaded.module.get_submodule(loaded.layer).register_forward_hook(note)
    try:
        with torch.no_grad():
            loaded.module(torch.from_numpy(loaded.preprocess.tensor(square))[None])
    finally:
        if hook is not None:
            hook.remove()
    return shapes[0] if shapes else None
