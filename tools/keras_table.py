"""Writes the table of keras.applications (input size, parameters, address and MD5 of the weights).

Usage: python tools/keras_table.py > src/modelatlas/zoo/keras_models/applications.toml

Every classifier is built as its library builds it, up to the place where it asks for its weights; what it
asks for is written down. Nothing is downloaded. Those without a size (MobileNetV3) take any;
224 is what their documentation says.
"""

import os
import sys

os.environ["KERAS_BACKEND"] = "torch"
import keras
from keras.src.utils import file_utils


class Asked(Exception):  # noqa: N818 - not an error
    """Ends a building with what was asked for."""


def ask(fname, origin=None, *args, file_hash=None, md5_hash=None, **kwargs):
    """Stand for the library's download."""
    raise Asked(origin, file_hash or md5_hash)


def main() -> None:
    """Print the table."""
    file_utils.get_file = ask
    print(
        f"# Written by tools/keras_table.py from keras {keras.__version__}: input size, trainable parameters,"
    )
    print("# and where the ImageNet weights lie, with the MD5 or SHA-256 that the library states.")
    for name in sorted(
        name for name in dir(keras.applications) if callable(getattr(keras.applications, name))
    ):
        make = getattr(keras.applications, name)
        with keras.device("meta"):  # shapes without numbers
            try:
                make(weights="imagenet", classifier_activation=None)
            except Asked as asked:
                url, digest = asked.args
            except ValueError as error:  # the NASNets
                print(f"\n# {error}")
                continue
            network = make(weights=None, classifier_activation=None)
        count = sum(int(weight.numel()) for weight in (v.value for v in network.trainable_variables))
        print(f'\n[{name}]\nfamily = "{make.__module__.rpartition(".")[2]}"')
        print(f"size = {network.input_shape[1] or 224}")
        print(f'parameters = {count:_}\nurl = "{url}"')
        if digest:
            print(f'{"sha256" if len(digest) == 64 else "md5"} = "{digest}"')
        print(name, file=sys.stderr, flush=True)


main()
