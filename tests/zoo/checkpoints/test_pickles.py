"""Pickles, .npy dictionaries, .pth, safetensors: arrays come through, code does not.

`golden/python2*` were written by Python 2.7 with NumPy 1.16 (`studies/ports/tiny_python2.py`); the others are
written here by NumPy and torch themselves.
"""

import os
import pickle
import subprocess
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.torch import save_file

from modelatlas.errors import CheckpointError
from modelatlas.zoo.checkpoints import open_checkpoint

GOLDEN = Path(__file__).parent / "golden"
TYPES = hnp.boolean_dtypes() | hnp.integer_dtypes() | hnp.floating_dtypes(sizes=(16, 32, 64))


@given(
    array=hnp.arrays(TYPES, hnp.array_shapes(min_dims=0, max_dims=4, max_side=4, min_side=0)),
    protocol=st.integers(2, pickle.HIGHEST_PROTOCOL),
    fortran=st.booleans(),
)
def test_arrays_come_back_bit_equal(array, protocol, fortran, tmp_path_factory):
    path = tmp_path_factory.mktemp("pickle", numbered=True) / "weights.pkl"
    stored = array.copy(order="F" if fortran else "C")
    path.write_bytes(pickle.dumps(OrderedDict(a={"b": [stored, 1, "text"]}), protocol))
    checkpoint = open_checkpoint(path)
    assert list(checkpoint) == ["a/b/0"]
    assert checkpoint.skipped == ("a/b/1", "a/b/2")
    got = checkpoint["a/b/0"]
    assert (got.dtype, got.shape, got.tobytes()) == (array.dtype, array.shape, array.tobytes())


@pytest.mark.parametrize(
    ("name", "above"), [("python2.npy", "")] + [(f"python2-protocol{n}.pkl", "1/") for n in (0, 1, 2)]
)
def test_files_of_python_2(name, above):
    checkpoint = open_checkpoint(GOLDEN / name)
    np.testing.assert_array_equal(
        checkpoint[above + "conv1/weights"], np.arange(24, dtype=np.float32).reshape(2, 3, 4) - 200
    )
    np.testing.assert_array_equal(checkpoint[above + "conv1/biases"], [-1.5, 255.0])
    np.testing.assert_array_equal(checkpoint[above + "bn_conv1/mean"], np.arange(6).reshape(2, 3))
    assert checkpoint[above + "bn_conv1/scale"] == 0.25
    assert len(checkpoint) == 4


class Runs:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


HOSTILE = {
    "os.system": Runs(os.system, "touch OWNED"),
    "eval": Runs(eval, "open('OWNED', 'w')"),
    "subprocess": Runs(subprocess.Popen, ["touch", "OWNED"]),
    "getattr": Runs(getattr, "", "format"),
    "numpy.load": Runs(np.load, "x.npy", None, True),
    "ndarray itself": Runs(np.ndarray, (10**12,), "u1"),
    "a class of ours": Runs(Path, "OWNED"),
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_that_names_anything_else_runs_nothing(what, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps([np.zeros(2), HOSTILE[what]], protocol))
    with pytest.raises(CheckpointError, match=r"only arrays and plain values|unusual way"):
        open_checkpoint(path)
    (tmp_path / "weights.npy").write_bytes(_npy_around({"a": HOSTILE[what]}))
    with pytest.raises(CheckpointError, match=r"only arrays and plain values|unusual way"):
        open_checkpoint(tmp_path / "weights.npy")
    assert not (tmp_path / "OWNED").exists()


def _npy_around(content):
    import io

    array = np.empty((), dtype=object)
    array[()] = content
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def test_a_torch_pickle_that_runs_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.zeros(2), "b": HOSTILE["os.system"]}, tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match="wants to run code"):
        open_checkpoint(tmp_path / "weights.pth")
    assert not (tmp_path / "OWNED").exists()


def test_what_shares_its_parts_without_end_is_refused(tmp_path):
    bomb = [np.zeros(1)]
    for _ in range(30):
        bomb = [bomb, bomb]
    (tmp_path / "weights.pkl").write_bytes(pickle.dumps(bomb))
    with pytest.raises(CheckpointError, match="too deeply, or holds too many"):
        open_checkpoint(tmp_path / "weights.pkl")


@given(at=st.integers(0, 602), change=st.integers(1, 255))
def test_a_damaged_pickle_ends_in_arrays_or_our_error(at, change, tmp_path_factory):
    content = bytearray((GOLDEN / "python2-protocol2.pkl").read_bytes())
    content[at] ^= change
    path = tmp_path_factory.mktemp("damaged", numbered=True) / "weights.pkl"
    path.write_bytes(content)
    try:
        arrays = dict(open_checkpoint(path))
    except CheckpointError:
        return
    assert all(isinstance(array, np.ndarray) for array in arrays.values())


@given(length=st.integers(0, 602))
def test_a_cut_off_pickle_is_an_error(length, tmp_path_factory):
    path = tmp_path_factory.mktemp("cut", numbered=True) / "weights.pkl"
    path.write_bytes((GOLDEN / "python2-protocol2.pkl").read_bytes()[:length])
    with pytest.raises(CheckpointError):
        open_checkpoint(path)


@pytest.mark.parametrize("old", [False, True])
def test_torch_files(old, tmp_path):
    state = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.half": torch.ones(2, dtype=torch.bfloat16)}
    torch.save({"state_dict": state}, tmp_path / "x.pth", _use_new_zipfile_serialization=not old)
    checkpoint = open_checkpoint(tmp_path / "x.pth")
    assert checkpoint.format == "torch"
    np.testing.assert_array_equal(checkpoint["a.weight"], [[0, 1, 2], [3, 4, 5]])
    assert checkpoint["a.half"].dtype == np.float32


def test_safetensors(tmp_path):
    save_file({"a": torch.arange(3.0)}, tmp_path / "x.safetensors")
    checkpoint = open_checkpoint(tmp_path / "x.safetensors")
    assert checkpoint.format == "safetensors"
    assert checkpoint["a"].tolist() == [0, 1, 2]


def test_a_single_array_has_no_names(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(CheckpointError, match="one array and no names"):
        open_checkpoint(tmp_path / "x.npy")
    (tmp_path / "y.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:20])
    with pytest.raises(CheckpointError, match=r"damaged \.npy"):
        open_checkpoint(tmp_path / "y.npy")
    (tmp_path / "z.pkl").write_bytes(pickle.dumps({"a": "text"}))
    with pytest.raises(CheckpointError, match="holds no arrays"):
        open_checkpoint(tmp_path / "z.pkl")
