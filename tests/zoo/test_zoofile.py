"""Zoo files, built-in zoos and lists of specs."""

import pytest

from modelatlas.errors import InputError
from modelatlas.zoo import builtin_zoos, card, find_model, read_zoo

GOOD = """
name = "mine"
description = "two nets"

[[model]]
name = "ResNet-18"
spec = "timm:resnet18?random=0"
task = "classification"
group = "semantic"
[model.tags]
year = "2015"

[[model]]
spec = "python:nets:make?weights=w.pt"
"""


def write(tmp_path, text, name="zoo.toml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_zoo_file(tmp_path):
    zoo = read_zoo(write(tmp_path, GOOD))
    assert (zoo.name, zoo.description) == ("mine", "two nets")
    first, second = zoo.entries
    assert (first.name, first.spec.text) == ("ResNet-18", "timm:resnet18?random=0")
    assert first.tags == {"task": "classification", "group": "semantic", "year": "2015"}
    assert second.name == second.spec.text == "python:nets:make?weights=w.pt"
    assert second.spec.weights == tmp_path / "w.pt"
    assert second.tags == {}


def test_the_files_name_is_the_zoos_name(tmp_path):
    assert read_zoo(write(tmp_path, '[[model]]\nspec = "timm:a"\n', "nets.toml")).name == "nets"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[model]]\nspec = "timm:a"\ncolour = "red"\n', r"model 1: unknown key 'colour' \(line 3\); .*spec"),
        ('color = 1\n[[model]]\nspec = "timm:a"\n', r"zoo\.toml: unknown key 'color' \(line 1\)"),
        ('[[models]]\nspec = "timm:a"\n', r"unknown key 'models' \(line 1\); a zoo file takes name"),
        ('[[model]]\nspec = "timm:a"\n[model.layer]\nx = 1\n', r"unknown key 'layer'"),
        ('[[model]]\nname = "a"\n', "model 1: the key 'spec' is missing"),
        ("", "lists no models"),
        ("model = []\n", "lists no models"),
        ('model = "timm:a"\n', "lists no models"),
        ('[[model]]\nspec = 3\n', "'spec' must be a text in quotes, not 3"),
        ('[[model]]\nspec = "resnet18"\n', "model 1: 'resnet18' is not a model spec"),
        ('[[model]]\nspec = "timm:a"\ntask = ["x"]\n', "'task' must be a text"),
        ('[[model]]\nspec = "timm:a"\ntags = "x"\n', "'tags' must be a table"),
        ('[[model]]\nspec = "timm:a"\nname = "a,b"\n', "model 1: the name 'a,b' must not hold ','"),
        ('[[model]]\nspec = "timm:a"\n[[model]]\nspec = "timm:a"\n', "the name 'timm:a' stands twice"),
        ('[[model]]\nspec = "timm:a"\nname = "x"\n' * 2, "'x' stands twice"),
        ('[[model]\nspec = "timm:a"\n', "not valid TOML: .*line 1"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=message) as caught:
        read_zoo(path)
    assert str(path) in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_zoo(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="no UTF-8 text"):
        read_zoo(tmp_path / "bad.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        read_zoo(tmp_path / "folder.toml")


def test_specs_joined_by_commas():
    zoo = read_zoo("timm:resnet18, torchvision:vgg11?random=0,python:a:b")
    assert [entry.name for entry in zoo.entries] == [
        "timm:resnet18",
        "torchvision:vgg11?random=0",
        "python:a:b",
    ]
    with pytest.raises(InputError, match="stands twice"):
        read_zoo("timm:a,timm:b,timm:a")
    with pytest.raises(InputError, match="'vgg11' is not a model spec"):
        read_zoo("timm:a,vgg11")


def test_a_list_of_specs_may_be_longer_than_a_file_name():
    specs = [f"timm:resnet18?random={number}" for number in range(300)]
    for count in (10, 300):  # longer than a name, and than a path
        assert [entry.name for entry in read_zoo(",".join(specs[:count])).entries] == specs[:count]
    with pytest.raises(InputError, match="is no built-in zoo"):
        read_zoo("x" * 300)


def test_what_is_no_zoo_says_what_there_is():
    with pytest.raises(InputError, match=r"'demp' is no built-in zoo \(.*demo, .*taskonomy"):
        read_zoo("demp")


def test_every_built_in_zoo_has_cards_for_all_its_models():
    assert "demo" in builtin_zoos()
    for name in builtin_zoos():
        zoo = read_zoo(name)
        assert zoo.name == name
        assert len(zoo.entries) >= 5
        for entry in zoo.entries:
            known = card(entry.spec)
            assert known.task
            assert known.group
            assert known.licence


def test_a_model_is_found_by_spec_and_by_name():
    assert find_model("hed").spec.text == "package:hed"
    assert find_model("timm:resnet18").name == "timm:resnet18"
    with pytest.raises(InputError, match=r"no model of a built-in zoo; did you mean hed\?"):
        find_model("hedd")
