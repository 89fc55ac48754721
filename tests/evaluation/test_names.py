import pytest

from modelatlas.errors import InputError
from modelatlas.evaluation import match_names


def test_equal_names_meet():
    assert match_names(["a", "b", "c"], ["c", "a"]) == {"a": "a", "c": "c"}


def test_the_part_after_the_last_colon_or_slash_meets():
    assert match_names(
        ["mini:depth", "timm/x:edge2d", "zoo/normal"], ["depth", "edge2d", "paper:normal"]
    ) == {
        "mini:depth": "depth",
        "timm/x:edge2d": "edge2d",
        "zoo/normal": "paper:normal",
    }


def test_an_equal_name_goes_before_a_part():
    assert match_names(["x:depth", "depth2"], ["depth", "x:depth"]) == {"x:depth": "x:depth"}


def test_task_tags_meet_last():
    tasks = {"timm:resnet18": "class_1000", "mini:depth": "edge2d"}
    assert match_names(list(tasks), ["class_1000", "depth", "edge2d"], tasks=tasks) == {
        "timm:resnet18": "class_1000",
        "mini:depth": "depth",
    }


def test_a_part_that_two_of_theirs_share_meets_nothing():
    assert match_names(["mini:depth"], ["a:depth", "b:depth"]) == {}


@pytest.mark.parametrize(
    ("ours", "tasks"),
    [
        (["mini:depth", "mini-b:depth"], {}),
        (["depth", "mini:depth"], {}),
        (["mini:depth", "resnet"], {"resnet": "depth"}),
        (["vgg", "resnet"], {"resnet": "depth", "vgg": "depth"}),
    ],
)
def test_two_models_that_claim_one_name_are_an_error(ours, tasks):
    with pytest.raises(
        InputError, match=f"{ours[0]!r} and {ours[1]!r} both claim the name 'depth': .*--exclude"
    ):
        match_names(ours, ["depth", "normal"], tasks=tasks)


def test_two_models_of_one_part_that_nobody_asks_for_are_fine():
    assert match_names(["x:depth", "y:depth", "normal"], ["normal"]) == {"normal": "normal"}
