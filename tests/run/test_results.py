import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from modelatlas.errors import EmptyOverlapError
from modelatlas.run.results import too_dead
from modelatlas.space import AffinityAccumulator

NAMES = ("a", "b", "c", "d", "e")
living = st.integers(1, 8).flatmap(lambda images: arrays(np.bool_, (5, images)))


@given(
    living=st.dictionaries(st.sampled_from(["saliency", "epsilon-lrp"]), arrays(np.bool_, (5, 6)), min_size=1)
)
def test_a_model_with_over_half_its_maps_dead_is_left_out_and_one_with_half_is_not_for_that(living):
    reasons = too_dead(NAMES, living)
    for place, name in enumerate(NAMES):
        dead = max(int((~rows[place]).sum()) for rows in living.values())
        assert ("maps are zero, vanishing or not finite" in reasons.get(name, "")) == (dead > 3)


@given(alive=living)
def test_those_that_stay_have_common_images(alive):
    """What the affinity is going to ask for: no pair without an image on which both are alive."""
    reasons = too_dead(NAMES, {"saliency": alive})
    kept = [place for place, name in enumerate(NAMES) if name not in reasons]
    collected = AffinityAccumulator([NAMES[place] for place in kept])
    maps = np.ones((len(kept), alive.shape[1], 1), dtype=np.float16)
    collected.add(maps, alive[kept])
    collected.result()


def test_of_two_models_without_a_common_image_the_one_with_fewer_living_maps_goes():
    alive = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1], [1, 1, 1, 1, 0, 0]], dtype=bool)
    assert too_dead(("a", "b"), {"saliency": alive[:2]}) == {
        "b": "no image with a living saliency map in common with a"
    }
    collected = AffinityAccumulator(("a", "b"))
    collected.add(np.ones((2, 6, 1), np.float16), alive[:2])
    with pytest.raises(EmptyOverlapError):  # which is why
        collected.result()
    assert too_dead(("a", "b", "c"), {"saliency": alive}).keys() == {"b"}
