"""The tiny face detector's `.mat` file, written by SciPy in MatConvNet's form."""

import numpy as np
import pytest
from scipy.io import savemat

from modelatlas.zoo.architectures.tiny_face import mean_colour, with_variances
from modelatlas.zoo.checkpoints import open_checkpoint

MEAN = np.array([[119.3], [110.5], [101.8]], np.float32)


@pytest.fixture
def mat(tmp_path):
    """Two convolutions and a batch norm whose epsilon the file states (`stated`) or not."""

    def write(stated):
        generator = np.random.default_rng(0)
        params = {
            "conv1_filter": generator.normal(size=(7, 7, 3, 4)),
            "bn_conv1_mult": generator.normal(size=(4, 1)),
            "bn_conv1_bias": generator.normal(size=(4, 1)),
            "bn_conv1_moments": generator.uniform(0.5, 2, size=(4, 2)),
            "score_res4_filter": generator.normal(size=(1, 1, 4, 5)),
            "score_res4_bias": generator.normal(size=(1, 5)),
            "score4f": generator.normal(size=(4, 4, 5, 5)),
        }
        params = {name: value.astype(np.float32) for name, value in params.items()}
        layer = np.zeros(1, dtype=[("name", object), ("type", object), ("block", object)])
        layer[0] = ("bn_conv1", "dagnn.BatchNorm", {"epsilon": stated} if stated else {"numChannels": 4})
        entries = np.zeros(len(params), dtype=[("name", object), ("value", object)])
        for place, (name, value) in enumerate(params.items()):
            entries[place] = (name, value)
        meta = {"normalization": {"averageImage": MEAN, "imageSize": np.array([224.0, 224.0, 3.0])}}
        path = tmp_path / "hr_res101.mat"
        savemat(path, {"net": {"layers": layer, "params": entries, "meta": meta}})
        return path, params

    return write


@pytest.mark.parametrize("stated", [None, 1e-4])
def test_the_variance_is_the_square_of_what_is_stored_less_the_files_epsilon(mat, stated):
    path, params = mat(stated)
    read = with_variances(open_checkpoint(path))
    moments = params["bn_conv1_moments"]
    np.testing.assert_array_equal(read["bn_conv1_mean"], moments[:, 0])
    expected = moments[:, 1] ** 2 - np.float32(stated or 1e-5)
    np.testing.assert_array_equal(read["bn_conv1_variance"], expected)
    np.testing.assert_array_equal(read["bn_conv1_scale"], params["bn_conv1_mult"][:, 0])
    np.testing.assert_array_equal(read["bn_conv1_offset"], params["bn_conv1_bias"][:, 0])
    assert read.shape("score_res4_bias") == (5,)
    np.testing.assert_array_equal(read["score4_filter"], params["score4f"])
    np.testing.assert_array_equal(read["conv1_filter"], params["conv1_filter"])


def test_the_mean_colour_is_the_files_own(mat):
    path, _ = mat(None)
    assert mean_colour(open_checkpoint(path)) == pytest.approx(MEAN[:, 0].tolist())
