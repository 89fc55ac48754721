import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelatlas.errors import InputError
from modelatlas.evaluation import TransferTable, read_transfers
from strategies import affinity_matrices, distinct_names

SQUARE = ",a,b\na,1,0.25\nb,0.5,1\n"


def written(tmp_path, text, name="table.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@given(values=affinity_matrices(most=5), data=st.data())
def test_both_forms_give_back_every_bit(tmp_path_factory, values, data):
    names = data.draw(distinct_names(len(values)))
    table = TransferTable("made", tuple(names), tuple(names), values)
    folder = tmp_path_factory.mktemp("forms")
    table.frame().to_csv(folder / "square.csv")
    long = (
        table.frame().rename_axis("source").melt(var_name="target", value_name="affinity", ignore_index=False)
    )
    long.reset_index().sample(frac=1, random_state=1).to_csv(folder / "long.csv", index=False)
    square, listed = read_transfers(folder / "square.csv"), read_transfers(folder / "long.csv")
    assert square.sources == square.targets == tuple(names)
    np.testing.assert_array_equal(square.values, values)
    np.testing.assert_array_equal(listed.select(names, names).values, values)


def test_square_form_is_oriented_rows_to_columns(tmp_path):
    table = read_transfers(written(tmp_path, SQUARE))
    assert table.frame().loc["a", "b"] == 0.25
    assert table.frame().loc["b", "a"] == 0.5


def test_rows_of_a_square_may_come_in_another_order(tmp_path):
    table = read_transfers(written(tmp_path, "any,a,b\nb,0.5,1\na,1,0.25\n"))
    assert table.frame().loc["a"].tolist() == [1, 0.25]


def test_pairs_without_a_row_are_missing(tmp_path):
    table = read_transfers(written(tmp_path, "target,affinity,source\nt,1,a\nu,2,a\nt,3,b\n"))
    assert table.sources == ("a", "b")
    assert table.targets == ("t", "u")
    np.testing.assert_array_equal(table.values, [[1, 2], [3, np.nan]])


def test_a_confidence_interval_file_is_a_long_form(tmp_path):
    path = written(tmp_path, "source,target,affinity,low,high\na,b,0.5,0.4,0.6\nb,a,0.5,0.4,0.6\n")
    assert read_transfers(path).frame().loc["a", "b"] == 0.5


def test_byte_order_mark_blank_lines_and_blanks_after_commas(tmp_path):
    path = written(tmp_path, "\ufeffsource, target, affinity\n\na, b, 1\n\n")
    assert read_transfers(path).frame().loc["a", "b"] == 1


def test_training_sets_are_chosen(tmp_path):
    text = "training_set,source,target,affinity\nsmall,a,b,1\nlarge,a,b,2\n"
    path = written(tmp_path, text)
    assert read_transfers(path, training_set="large").values.tolist() == [[2]]
    with pytest.raises(
        InputError, match=r"several training sets \(small, large\): choose one with --training-set"
    ):
        read_transfers(path)
    with pytest.raises(InputError, match="no row of the training set 'huge': choose one of small, large"):
        read_transfers(path, training_set="huge")
    alone = written(tmp_path, "training_set,source,target,affinity\nsmall,a,b,1\n")
    assert read_transfers(alone).values.tolist() == [[1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "row 1: neither form: write the columns source, target, affinity"),
        ("a\n1\n", "row 1: neither form"),
        ("x,y,z\n1,2,3\n", "row 1: neither form"),
        ("source,target\na,b\n", "row 1: neither form"),
        ("source,target,affinity\n", "a header and no rows"),
        ("source,target,affinity\na,b\n", "row 2: 2 cells, but the header has 3"),
        (
            "source,target,affinity\na,b,1\nc,d,NaN\n",
            "row 3: affinity of 'c' with 'd' is 'NaN', not a finite",
        ),
        ("source,target,affinity\na,b,inf\n", "row 2: .*'inf', not a finite number: correct it"),
        ("source,target,affinity\na,b,high\n", "row 2: .*'high'"),
        ("source,target,affinity\na,b,\n", "row 2: .*''.*leave the pair out"),
        ("source,target,affinity\na,,1\n", "row 2: source or target is empty"),
        ("source,target,affinity\na,b,1\na,c,1\na,b,2\n", "row 4: 'a' with 'b' stands twice: keep one row"),
        ("source,target,affinity,source\na,b,1,c\n", "row 1: two columns are called 'source'"),
        (",a,b\na,1,2\n", "not square: 'b' has a column and no row .*long form"),
        (",a,b\na,1,2\nb,1,2\nc,1,2\n", "row 4: not square: 'c' has a row and no column"),
        (",a,b\na,1\nb,1,2\n", "row 2: 1 values, but the header names 2"),
        (",a,b\na,1,2\na,1,2\n", "row 3: 'a' again, first in row 2"),
        (",a,a\na,1,2\n", "row 1: two columns are called 'a'"),
        (",a,b\na,1,2\nb,,1\n", "row 3: affinity of 'b' with 'a' is '', not a finite number"),
        (b",a,b\na,1,2\nb,\xff,1\n", "not UTF-8 .*save it as UTF-8"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_remedy(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=message) as caught:
        read_transfers(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert caught.value.exit_status == 2
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.csv: cannot be read \(No such file"):
        read_transfers(tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_transfers(tmp_path)


def test_a_training_set_of_a_file_without_any_is_refused(tmp_path):
    for text in (SQUARE, "source,target,affinity\na,b,1\n"):
        with pytest.raises(InputError, match="no column 'training_set'"):
            read_transfers(written(tmp_path, text), training_set="16k")


def test_frames_are_checked():
    with pytest.raises(InputError, match="zoo: the name 'a' stands twice"):
        TransferTable.from_frame(pd.DataFrame([[1.0, 2.0]], index=["s"], columns=["a", "a"]), origin="zoo")
    with pytest.raises(InputError, match="infinite"):
        TransferTable.from_frame(pd.DataFrame([[np.inf]], index=["s"], columns=["a"]), origin="zoo")


def test_selecting_and_renaming():
    table = TransferTable("t", ("a", "b"), ("b", "c"), np.array([[1.0, 2], [3, 4]]))
    assert table.names == ("a", "b", "c")
    assert table.without({"b"}).values.tolist() == [[2]]
    renamed = table.renamed({"a": "A", "b": "B"})
    assert (renamed.sources, renamed.targets) == (("A", "B"), ("B",))
    assert renamed.values.tolist() == [[1], [3]]
