"""Write the tiny Python 2 pickles that the readers' tests read, with Python 2.7 and NumPy 1.16.

    python2.7 studies/ports/tiny_python2.py tests/zoo/checkpoints/golden

FCRN's authors published such a file.
"""

import pickle
import sys

import numpy as np

folder = sys.argv[1] + "/"
weights = {
    "conv1": {
        "weights": np.arange(24, dtype="float32").reshape(2, 3, 4) - 200,
        "biases": np.array([-1.5, 255.0]),
    },
    "bn_conv1": {
        "mean": np.asfortranarray(np.arange(6, dtype="int16").reshape(2, 3)),
        "scale": np.float64(0.25),
    },
}
np.save(folder + "python2.npy", weights)
for protocol in (0, 1, 2):
    path = folder + "python2-protocol{}.pkl".format(protocol)  # noqa: UP032 (Python 2 has no f-strings)
    with open(path, "wb") as stream:  # noqa: PTH123 (nor pathlib)
        pickle.dump([{"conv1_type": "dagnn.Conv"}, weights], stream, protocol)
