"""MatConvNet's .mat files: version 5 as SciPy writes them, 7.3 as hdf5storage does (`tiny_matlab.py`)."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from modelatlas.errors import CheckpointError
from modelatlas.zoo.checkpoints import open_checkpoint

GOLDEN = Path(__file__).parent / "golden"
FILTER = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
MOMENTS = np.arange(4, dtype=np.float32).reshape(2, 2)


def dagnn():
    params = np.zeros((1, 2), dtype=[("name", object), ("value", object)])
    params[0, 0] = ("conv1_filter", FILTER)
    params[0, 1] = ("bn_conv1_moments", MOMENTS)
    return {"params": params, "meta": {"averageImage": np.array([[119.0], [111.0], [102.0]])}}


def assert_dagnn(checkpoint):
    assert checkpoint.format == "matconvnet"
    assert set(checkpoint) == {"conv1_filter", "bn_conv1_moments", "meta/averageImage"}
    np.testing.assert_array_equal(checkpoint["conv1_filter"], FILTER)
    np.testing.assert_array_equal(checkpoint["bn_conv1_moments"], MOMENTS)
    assert checkpoint["conv1_filter"].dtype == np.float32
    np.testing.assert_array_equal(checkpoint["meta/averageImage"].ravel(), [119, 111, 102])


@pytest.mark.parametrize("inside", [True, False])
def test_a_dagnn_of_version_5(inside, tmp_path):
    scipy.io.savemat(tmp_path / "net.mat", {"net": dagnn()} if inside else dagnn(), do_compression=inside)
    assert_dagnn(open_checkpoint(tmp_path / "net.mat"))


def test_a_dagnn_of_version_7_3():
    pytest.importorskip("h5py")
    assert_dagnn(open_checkpoint(GOLDEN / "matconvnet73.mat"))


@pytest.mark.parametrize("listed", [True, False])
def test_a_simplenn(listed, tmp_path):
    layers = np.empty((1, 2), dtype=object)
    bias = np.ones((1, 2), np.float32)
    weights = np.empty((1, 2), dtype=object)
    weights[0, :] = [FILTER, bias]
    layers[0, 0] = {"name": "conv1_1"} | (
        {"weights": weights} if listed else {"filters": FILTER, "biases": bias}
    )
    layers[0, 1] = {"name": "relu1_1", "type": "relu"}
    scipy.io.savemat(tmp_path / "vgg.mat", {"layers": layers, "meta": {"normalization": {"x": 1.0}}})
    checkpoint = open_checkpoint(tmp_path / "vgg.mat")
    np.testing.assert_array_equal(checkpoint["conv1_1/filters"], FILTER)
    np.testing.assert_array_equal(checkpoint["conv1_1/biases"], bias)
    assert set(checkpoint) == {"conv1_1/filters", "conv1_1/biases", "meta/normalization/x"}


def test_other_and_damaged_files_are_errors(tmp_path):
    scipy.io.savemat(tmp_path / "other.mat", {"x": np.zeros(3)})
    with pytest.raises(CheckpointError, match="without a network of MatConvNet"):
        open_checkpoint(tmp_path / "other.mat")
    scipy.io.savemat(tmp_path / "net.mat", {"net": dagnn()})
    content = (tmp_path / "net.mat").read_bytes()
    for length in (100, 140, 200, len(content) // 2, len(content) - 9):
        (tmp_path / "cut.mat").write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            open_checkpoint(tmp_path / "cut.mat")
    (tmp_path / "cut73.mat").write_bytes((GOLDEN / "matconvnet73.mat").read_bytes()[:3000])
    with pytest.raises(CheckpointError, match="damaged MATLAB file"):
        open_checkpoint(tmp_path / "cut73.mat")
