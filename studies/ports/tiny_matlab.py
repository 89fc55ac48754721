"""Write the tiny MATLAB 7.3 file that the readers' tests read, with hdf5storage 0.2.2.

python -m pip install hdf5storage
python studies/ports/tiny_matlab.py tests/zoo/checkpoints/golden
"""

import sys
from pathlib import Path

import hdf5storage
import numpy as np

params = np.zeros((1, 2), dtype=[("name", object), ("value", object)])
params[0, 0] = ("conv1_filter", np.arange(24, dtype="float32").reshape(2, 3, 2, 2))
params[0, 1] = ("bn_conv1_moments", np.arange(4, dtype="float32").reshape(2, 2))
net = {"params": params, "meta": {"averageImage": np.array([[119.0], [111.0], [102.0]])}}
hdf5storage.savemat(
    str(Path(sys.argv[1]) / "matconvnet73.mat"),
    {"net": net},
    format="7.3",
    oned_as="column",
    store_python_metadata=False,
)
