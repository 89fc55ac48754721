"""The sentence at the top of the page, and numbers as text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelatlas.report.colour import Scale
from modelatlas.report.contents import Labels, Matrix
from modelatlas.report.finding import Finding, finding
from modelatlas.report.groups import NO_GROUP
from modelatlas.report.numbers import digits_of, number, short

NAMES = ("a", "b", "c", "d")
VALUES = np.array([[1.0, 0.9, 0.3, 0.1], [0.9, 1.0, 0.5, 0.2], [0.3, 0.5, 1.0, 0.25], [0.1, 0.2, 0.25, 1.0]])


def found(values: np.ndarray, *, half: float = 0.01, untrained: tuple[str, ...] = ()) -> Finding:
    names = NAMES[: len(values)]
    matrix = Matrix("saliency", names, values, values - half, values + half, None, Scale.of(values), "")
    return finding(matrix, Labels(dict.fromkeys(names, NO_GROUP), frozenset(untrained), {}))


def test_nearest_pair_and_loner() -> None:
    result = found(VALUES)
    assert (result.nearest.first, result.nearest.second, result.nearest.affinity) == ("a", "b", 0.9)
    assert (result.loner.first, result.loner.second, result.loner.affinity) == ("d", "c", 0.25)
    assert result.rival is None
    assert not result.nothing


def test_a_rival_is_a_pair_whose_interval_reaches_in() -> None:
    assert found(VALUES, half=0.19).rival is None
    assert (found(VALUES, half=0.21).rival.first, found(VALUES, half=0.21).rival.second) == ("b", "c")


def test_untrained_models_are_not_found_nearest() -> None:
    result = found(VALUES, untrained=("a",))
    assert (result.nearest.first, result.nearest.second) == ("b", "c")
    assert not result.untrained
    assert found(VALUES, untrained=("a", "b", "c")).untrained
    assert found(VALUES, untrained=NAMES).nearest.first == "a"


def test_next_to_nothing_is_called_so() -> None:
    near_nothing = np.where(np.eye(4, dtype=bool), 1, VALUES / 100)
    assert found(near_nothing).nothing
    assert found(near_nothing).digits == 4
    assert found(np.where(np.eye(4, dtype=bool), 1, VALUES / 10)).digits == 3


@pytest.mark.parametrize(("count", "pairs"), [(1, 0), (2, 1)])
def test_few_models(count: int, pairs: int) -> None:
    result = found(VALUES[:count, :count])
    assert (result.nearest is not None) == bool(pairs)
    assert result.loner is None


@given(st.floats(-1, 1), st.integers(2, 4))
def test_numbers_read_back(value: float, digits: int) -> None:
    text = number(value, digits)
    assert float(text.replace("\N{MINUS SIGN}", "-")) == pytest.approx(value, abs=0.5000001 * 10**-digits)
    assert float(short(value, digits).replace("\N{MINUS SIGN}", "-")) == float(
        text.replace("\N{MINUS SIGN}", "-")
    )
    assert not text.startswith("\N{MINUS SIGN}") or float(text[1:]) > 0


def test_digits_of_one_model() -> None:
    assert digits_of(np.ones((1, 1))) == 2
