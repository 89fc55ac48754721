import pytest

from modelatlas.errors import InputError
from modelatlas.run import Settings


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("methods", (), "choose from saliency"),
        ("methods", ("grad-cam",), "unknown method 'grad-cam'"),
        ("methods", ("saliency", "saliency"), "twice"),
        ("seed", -1, "seed -1"),
        ("grid", 0, "grid 0"),
        ("grid", 5000, "grid 5000"),
        ("epsilon", 0.0, "epsilon 0.0"),
        ("epsilon", float("nan"), "epsilon nan"),
        ("epsilon", float("inf"), "epsilon inf"),
        ("batch", 0, "batch 0: give 1 to 32"),
        ("batch", 64, "batch 64"),
        ("threads", 0, "threads 0"),
        ("precision", "float16", "auto, float32, float64, bf16"),
        ("linkage", "centroid", "single, complete"),
        ("similarity", "angle", "cosine, correlation"),
    ],
)
def test_a_wrong_option_is_named_with_what_it_may_be(option, value, said):
    with pytest.raises(InputError, match=said) as caught:
        Settings(**{option: value})
    assert caught.value.exit_status == 2


def test_a_correlation_needs_more_than_one_cell():
    with pytest.raises(InputError, match="give a grid of at least 2"):
        Settings(grid=1, similarity="correlation")
