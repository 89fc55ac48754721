import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelatlas.errors import InputError
from modelatlas.evaluation import affinities_from_losses, read_losses
from modelatlas.evaluation.losses import principal_column, win_rates
from oracles import evaluation as literal


@st.composite
def losses(draw):
    """Losses [source, image], many of them tied."""
    shape = (draw(st.integers(1, 6)), draw(st.integers(1, 12)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return np.round(rng.gamma(2, size=shape), draw(st.integers(0, 3)))


@given(losses())
def test_win_rates_are_counted(table):
    rates = win_rates(table)
    np.testing.assert_allclose(rates, [[literal.win_rate(a, b) for b in table] for a in table])
    np.testing.assert_allclose(rates + rates.T, 1)


@given(losses())
@settings(max_examples=30)
def test_the_column_is_that_of_power_iteration(table):
    column = principal_column(win_rates(table))
    np.testing.assert_allclose(column, literal.principal_column(win_rates(table)), rtol=1e-6)
    assert column.sum() == pytest.approx(1)
    assert (column > 0).all()


@given(losses(), st.integers(0, 2**32 - 1))
def test_any_rising_function_of_the_loss_gives_the_same(table, seed):
    unit = np.random.default_rng(seed).uniform(1, 10)
    names = [f"s{k}" for k in range(len(table))]
    one, other = (
        affinities_from_losses({"t": x}, sources=names).values for x in (table, np.exp(table) * unit)
    )
    np.testing.assert_allclose(one, other, rtol=1e-9)


def test_two_sources_computed_by_hand():
    # The first wins 3 of 4: odds 3, matrix (1, 3; 1/3, 1), eigenvector (3, 1) / 4.
    table = affinities_from_losses({"t": np.array([[1, 1, 1, 9.0], [2, 2, 2, 2]])}, sources=["a", "b"])
    np.testing.assert_allclose(table.values[:, 0], [0.75, 0.25])
    # It always wins: .999 of the clipped rates.
    sure = affinities_from_losses({"t": np.array([[1.0, 1], [2, 2]])}, sources=["a", "b"])
    np.testing.assert_allclose(sure.values[:, 0], [0.999, 0.001])


def test_three_consistent_sources_computed_by_hand():
    # Win rates 2/3, 2/3, 4/5 have the odds 2, 2, 4: a consistent matrix, whose column is 4 : 2 : 1 by hand.
    rates = np.array([[1 / 2, 2 / 3, 4 / 5], [1 / 3, 1 / 2, 2 / 3], [1 / 5, 1 / 3, 1 / 2]])
    np.testing.assert_allclose(principal_column(rates), np.array([4, 2, 1]) / 7)


def test_a_file_gives_the_same_as_the_arrays(tmp_path):
    rng = np.random.default_rng(0)
    tables = {"t": rng.random((3, 5)), "u": rng.random((2, 4))}
    rows = [
        f"{target},{source},img{image},{float(table[source, image])!r}"
        for target, table in tables.items()
        for source in range(len(table))
        for image in range(table.shape[1])
    ]
    path = tmp_path / "losses.csv"
    path.write_text("\n".join(["target,source,image,loss", *rng.permutation(rows)]))
    got = read_losses(path).frame()
    want = affinities_from_losses(tables, sources={"t": ["0", "1", "2"], "u": ["0", "1"]}).frame()
    np.testing.assert_allclose(got.loc[want.index, want.columns], want)
    assert np.isnan(got.loc["2", "u"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("target,source,loss\n", "row 1: losses need the columns target, source, image, loss"),
        ("target,source,image,loss\n", "a header and no losses"),
        ("target,source,image,loss\nt,a,1,x\n", "row 2: the loss is 'x', not a finite number"),
        ("target,source,image,loss\nt,a,1\n", "row 2: the loss is None"),
        ("target,source,image,loss\nt,a,1,1\nt,a,1,2\n", "row 3: a second loss of 'a' on image '1'"),
        (
            "target,source,image,loss\nt,a,1,1\nt,b,2,1\n",
            "'t': image '1' was not tested by all sources .see 'b'",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, message):
    path = tmp_path / "losses.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_losses(path)
    assert str(path) in str(caught.value)


def test_wrong_arrays_are_refused(tmp_path):
    with pytest.raises(InputError, match="losses of 't' have the shape"):
        affinities_from_losses({"t": np.ones((2, 3))}, sources=["a"])
    with pytest.raises(InputError, match="not finite"):
        affinities_from_losses({"t": np.full((1, 1), np.nan)}, sources=["a"])
    with pytest.raises(InputError, match="cannot be read"):
        read_losses(tmp_path / "nowhere.csv")
