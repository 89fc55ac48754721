"""Checks that every source of models passes, ours and third parties'."""

import json

import numpy as np
import pytest
import torch

from modelatlas.errors import InputError
from modelatlas.zoo import LoadedModel, ModelSpec, Source, card, load, source_for, weights_digest

__all__ = ["check_source"]


def check_source(name: str, *, trust_code: bool = False, trained: bool = False) -> None:
    """Check the source of `name` (`<source>:<model>`) by one of its models, small and with fresh weights.

    Parameters
    ----------
    trained
        Check the published weights too (they are fetched).
    """
    source = source_for(ModelSpec.parse(name))
    assert isinstance(source, Source)
    assert source.prefix == name.partition(":")[0]
    assert source.summary
    assert list(source.names()) == sorted(source.names())

    _check_card(name)
    model = _check_untrained(name, trust_code=trust_code)
    _check_runs(_check_trained(name, untrained=model) if trained else model)
    if source.runs_user_code:
        with pytest.raises(InputError, match="--trust-code"):
            load(f"{name}?random=0")
    with pytest.raises(InputError, match="unknown key 'colour'"):
        card(f"{name}?colour=red")


def _check_card(name: str) -> None:
    known = card(name)
    assert known.name == known.spec == name
    assert known.trained
    assert not card(f"{name}?random=3").trained
    assert card(f"{name}?random=3").weights == ()
    assert card(f"{name}?layer=some.layer").layer == "some.layer"
    plain = json.loads(json.dumps(known.as_dict(), allow_nan=False))
    assert {
        "name",
        "spec",
        "task",
        "group",
        "licence",
        "citation",
        "pretrained_encoder",
        "parameters",
    } <= set(plain)
    assert {"height", "width", "channels", "range"} <= set(plain["input"])
    assert all({"url", "package"} & set(file) for file in plain["weights"])


def _check_untrained(name: str, *, trust_code: bool) -> LoadedModel:
    state = torch.random.get_rng_state()
    first, again, other = (load(f"{name}?random={seed}", trust_code=trust_code) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), state), "torch's global random state was touched"
    assert first.weights_digest == again.weights_digest == weights_digest(first.module)
    assert first.weights_digest != other.weights_digest
    assert not first.card.trained
    assert not any(module.training for module in first.module.modules())
    assert first.card.parameters == sum(p.numel() for p in first.module.parameters())
    return first


def _check_trained(name: str, *, untrained: LoadedModel) -> LoadedModel:
    first, again = load(name), load(name)
    assert first.weights_digest == again.weights_digest != untrained.weights_digest
    assert first.card.trained
    assert first.card.parameters == untrained.card.parameters
    return first


def _check_runs(model: LoadedModel) -> None:
    """It takes what its preprocessing makes, two images at a time, and the input has a gradient."""
    squares = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    images = torch.from_numpy(np.stack([model.preprocess.tensor(square) for square in squares]))
    assert images.shape == (2, model.preprocess.channels, model.preprocess.height, model.preprocess.width)
    images.requires_grad_(True)
    output = model.module(images)
    if isinstance(output, dict):
        output = next(iter(output.values()))
    if isinstance(output, tuple):
        output = output[0]
    assert output.shape[0] == 2
    assert torch.isfinite(output).all()
    (gradient,) = torch.autograd.grad(output.square().mean(), images)
    assert torch.isfinite(gradient).all()
    assert (gradient != 0).any()
