"""Keras on torch: imported with its torch backend, and given random numbers as our sources promise."""

import os
import random
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Final

import torch

from modelatlas.errors import InputError, MissingExtraError

__all__ = ["building", "keras_on_torch"]

_VARIABLE: Final = "KERAS_BACKEND"
_NUMBERS: Final = "object_name_uids"


def keras_on_torch() -> ModuleType:
    """Import Keras with its torch backend, which it chooses once, when it is first imported.

    Raises
    ------
    MissingExtraError
        Keras is not installed.
    InputError
        This process has imported it with another backend.
    """
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = "torch"
    try:
        import keras
    except ModuleNotFoundError as error:
        raise MissingExtraError("keras", extra="keras", needed_for="the source keras:") from error
    finally:
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before
    if keras.backend.backend() != "torch":
        raise InputError(
            f"keras came with its backend {keras.backend.backend()!r} before ModelAtlas needed it, and "
            "keeps it: set KERAS_BACKEND=torch in the environment, and start again"
        )
    return sys.modules["keras"]


@contextmanager
def building() -> Iterator[ModuleType]:
    """Build networks in: on the CPU, channels last, every random number drawn from torch's random state.

    Keras draws the seeds of its initialisers from Python's random module, and numbers its layers by a count
    of all that the process ever made (`dropout_3`). Both begin anew here, and are left as they were.
    """
    keras = keras_on_torch()
    from keras.src.backend.common import global_state

    state, layout = random.getstate(), keras.config.image_data_format()
    numbers = global_state.get_global_attribute(_NUMBERS, defaultdict(int), set_to_default=True)
    random.seed(int(torch.randint(2**62, ()).item()))
    global_state.set_global_attribute(_NUMBERS, defaultdict(int))
    keras.config.set_image_data_format("channels_last")
    try:
        with keras.device("cpu"):
            yield keras
    finally:
        keras.config.set_image_data_format(layout)
        global_state.set_global_attribute(_NUMBERS, numbers)
        random.setstate(state)
