"""Model specs and names."""

import pickle
import string
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelatlas.errors import InputError
from modelatlas.zoo import ModelSpec
from modelatlas.zoo.spec import check_name

WORDS = st.text(string.ascii_letters + string.digits + "._-/:", min_size=1, max_size=20)
KEYS = st.text(string.ascii_lowercase, min_size=1, max_size=8).filter(
    lambda key: key not in ("random", "weights")
)
VALUES = st.text(string.ascii_letters + string.digits + "._-/=:?", min_size=1, max_size=20)


def test_the_contracts_example():
    spec = ModelSpec.parse("timm:resnet18?random=0&layer=layer4")
    assert (spec.source, spec.name, spec.seed, spec.layer, spec.weights) == (
        "timm",
        "resnet18",
        0,
        "layer4",
        None,
    )
    assert spec.text == "timm:resnet18?random=0&layer=layer4"


def test_a_name_may_hold_colons():
    spec = ModelSpec.parse("python:pkg.nets:make")
    assert (spec.source, spec.name) == ("python", "pkg.nets:make")


@given(
    source=st.sampled_from(["timm", "python", "mini-b"]),
    name=WORDS,
    options=st.dictionaries(KEYS, VALUES, max_size=4),
)
def test_what_is_put_together_is_taken_apart(source, name, options):
    text = (
        f"{source}:{name}"
        + ("?" if options else "")
        + "&".join(f"{key}={value}" for key, value in options.items())
    )
    spec = ModelSpec.parse(text)
    assert (spec.text, spec.source, spec.name, spec.options) == (text, source, name, options)
    assert pickle.loads(pickle.dumps(spec)) == spec  # it travels to worker processes
    assert hash(spec) == hash(ModelSpec.parse(text))


@pytest.mark.parametrize(
    "text",
    ["", "resnet18", ":resnet18", "timm:", "Timm:x", "timm:x?", "timm:x?layer", "timm:x?=3", "timm:x?layer=",
     "timm:x?a=1&a=2", "timm:x?random=-1", "timm:x?random=one", "timm:x?random=0&weights=w.pt",
     "timm:x\n", " timm:x"],
)  # fmt: skip
def test_what_is_malformed_is_refused(text):
    with pytest.raises(InputError) as caught:
        ModelSpec.parse(text)
    assert text.strip() in str(caught.value) or repr(text) in str(caught.value)
    assert caught.value.exit_status == 2


@given(st.text(max_size=30))
def test_any_text_is_a_spec_or_an_input_error(text):
    with suppress(InputError):
        assert ModelSpec.parse(text).text == text


def test_weights_start_from_the_zoo_files_folder(tmp_path):
    assert ModelSpec.parse("timm:x?weights=w.pt", base=tmp_path).weights == tmp_path / "w.pt"
    assert ModelSpec.parse("timm:x?weights=w.pt").weights == Path("w.pt")
    assert ModelSpec.parse("timm:x?weights=/a/w.pt", base=tmp_path).weights == Path("/a/w.pt")
    assert ModelSpec.parse("timm:x?weights=~/w.pt").weights == Path.home() / "w.pt"


@pytest.mark.parametrize("name", ["ResNet-18", "效率", "a b", "x<b>&amp", "v1.0_final!", "ñ"])
def test_names_that_are_fine(name):
    assert check_name(name, where="zoo.toml") == name


@pytest.mark.parametrize("character", [*",;:()[]'\"", "\n", "\t", "\x00", "\u200b"])
def test_characters_that_no_name_may_hold(character):
    with pytest.raises(InputError, match=r"zoo\.toml: the name .* must not hold"):
        check_name(f"a{character}b", where="zoo.toml")


@pytest.mark.parametrize("first", "=+-@")
def test_what_a_spreadsheet_would_run_is_no_name(first):
    with pytest.raises(InputError, match="must not begin with"):
        check_name(f"{first}cmd", where="zoo.toml")


@pytest.mark.parametrize("name", ["", " ", " a", "a "])
def test_blank_names(name):
    with pytest.raises(InputError, match="empty or has spaces"):
        check_name(name, where="zoo.toml")
