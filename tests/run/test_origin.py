"""Whether weights can have changed is told without loading them, or not at all."""

from dataclasses import replace

from modelatlas.run.origin import weights_origin
from modelatlas.zoo import ModelSpec, WeightFile, card


def origin(text, **changes):
    spec = ModelSpec.parse(text)
    return weights_origin(replace(card(spec), **changes), spec)


def test_packaged_weights_are_known_by_their_checksum():
    text = "package:efficientnet-lite0"
    assert origin(text) == origin(text) is not None
    (file, *_) = card(text).weights
    assert origin(text, weights=(replace(file, sha256="0" * 64),)) != origin(text)


def test_an_own_checkpoint_is_known_by_its_bytes(tmp_path):
    path = tmp_path / "w.pt"
    path.write_bytes(b"one")
    text = f"timm:resnet18?weights={path}"
    before = origin(text)
    assert before is not None
    path.write_bytes(b"two")
    assert origin(text) not in (before, None)


def test_untrained_weights_are_known_by_seed_and_libraries():
    assert origin("timm:resnet18?random=0") not in (origin("timm:resnet18?random=1"), None)


def test_code_and_unpinned_downloads_must_be_loaded_to_tell():
    assert origin("python:chartable:relu") is None
    assert origin("package:hed", weights=(WeightFile(url="https://example.org/w.pt"),)) is None
    assert origin("package:hed", weights=()) is None
