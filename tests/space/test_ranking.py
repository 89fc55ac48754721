import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelatlas.errors import InputError
from modelatlas.space import Affinity, rank
from strategies import affinity_matrices


@given(affinity_matrices(), st.data())
def test_every_other_model_once_best_first_ties_by_name(values, data):
    models = data.draw(st.permutations([f"m{i}" for i in range(len(values))]))
    target = data.draw(st.sampled_from(models))
    ranked = rank(Affinity(tuple(models), values), target)
    assert sorted([*ranked.source, target]) == sorted(models)
    keys = list(zip(-ranked.affinity, ranked.source, strict=True))
    assert keys == sorted(keys)
    for source, value in zip(ranked.source, ranked.affinity, strict=True):
        assert value == values[models.index(source), models.index(target)]


def test_it_reads_the_column_of_the_target():
    skewed = Affinity(("a", "b", "c"), np.array([[1, 0.9, 0.1], [0.2, 1, 0.7], [0.5, 0.3, 1]]))
    assert rank(skewed, "a").source.tolist() == ["c", "b"]
    assert rank(skewed, "a", top=1).source.tolist() == ["c"]


def test_ties_by_name():
    flat = Affinity(("t", "b", "a", "B"), np.ones((4, 4)))
    assert rank(flat, "t").source.tolist() == ["B", "a", "b"]


def test_an_unknown_target_offers_the_nearest_names():
    some = Affinity(("resnet18", "resnet50", "vgg"), np.eye(3))
    with pytest.raises(InputError, match="no model 'resnet19' among 3: did you mean resnet18"):
        rank(some, "resnet19")
    with pytest.raises(InputError, match="top 0"):
        rank(some, "vgg", top=0)
