from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from modelatlas.errors import StoreError
from modelatlas.store import read_long, read_square

NAMES = ["NA", "007", "1e3", "true", "ü,b", '"', "timm:a?b=c"]


@given(values=arrays(np.float64, (7, 7), elements=st.floats(-1, 1)))
def test_a_matrix_comes_back_bit_by_bit(values, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "square.csv"
    frame = pd.DataFrame(values, index=NAMES, columns=NAMES)
    path.write_text(frame.to_csv(lineterminator="\n"), encoding="utf-8")
    found = read_square(path)
    assert list(found.index) == list(found.columns) == NAMES
    np.testing.assert_array_equal(found.to_numpy(dtype=np.float64), values)


def test_a_long_table_keeps_its_names(tmp_path):
    (tmp_path / "a.csv").write_text("source,target,low\nNA,007,0.1\n")
    found = read_long(tmp_path / "a.csv")
    assert found.to_dict("records") == [{"source": "NA", "target": "007", "low": 0.1}]


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"source,target,low\nx,y,z\n", b"\xff\xfe\x00"])
def test_a_damaged_table_is_named_with_the_remedy(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(StoreError, match=r"a\.csv is damaged.*again"):
        read_long(tmp_path / "a.csv")


@pytest.mark.parametrize("read", [read_square, partial(read_long, models=NAMES[5:])])
def test_a_table_that_was_cut_off_is_found_wherever_that_was(tmp_path, read):
    """But for digits of its very last number, which is the 1.0 of a diagonal."""
    frame = pd.DataFrame(np.eye(2) * 0.75 + 0.25, index=NAMES[5:], columns=NAMES[5:])
    if read is not read_square:
        frame = frame.stack().rename_axis(["source", "target"]).rename("low").to_frame()
    text = frame.to_csv(lineterminator="\n")
    path = tmp_path / "cut.csv"
    for kept in range(len(text) - len("1.0\n") + 1):
        path.write_text(text[:kept])
        with pytest.raises(StoreError, match=r"cut\.csv is damaged.*: remove it and run the same"):
            read(path)
    path.write_text(text)
    read(path)


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"a\.csv is missing"):
        read_square(tmp_path / "a.csv")
