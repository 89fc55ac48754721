import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from modelatlas.space import dead_maps
from oracles import space as literal

NORMS = arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 9)),
    elements=st.sampled_from([0.0, 1e-30, 1e-7, 0.5, 1.0, 1.1, 3e5, 1e30, np.inf, np.nan]).map(np.float32),
)


@given(NORMS)
def test_agrees_with_the_literal_rule(norms):
    before = norms.copy()
    np.testing.assert_array_equal(dead_maps(norms), literal.alive(norms))
    np.testing.assert_array_equal(norms, before)


def test_hand_made_row():
    norms = np.array([[1.0, 2.0, 3.0, 1e-6, 2.1e-6, 0.0, np.nan, np.inf]])
    # The median of 1e-6, 2.1e-6, 1, 2, 3 is 1: the threshold is 1e-6, which itself still lives.
    assert dead_maps(norms).tolist() == [[True, True, True, True, True, False, False, False]]


def test_a_model_without_any_map_is_all_dead():
    assert not dead_maps(np.array([[0.0, np.nan]])).any()
