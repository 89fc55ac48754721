"""Write the tiny checkpoints that the readers' tests read, by TensorFlow itself (reference environment).

    .cache/ports/venv/bin/python studies/ports/tiny_checkpoints.py tests/zoo/checkpoints/golden

All element types that a checkpoint can hold as numbers, two shards, optimizer slots, a text, a partitioned
variable; beside them the variables' values as `.npz`.
"""

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow.compat.v1 as tf

TYPES = (
    "float16", "float32", "float64", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "uint16", "bool",
    "complex64",
)  # fmt: skip


def values(number: int, dtype: str) -> np.ndarray:
    """Draw a 2 x 3 array with negative numbers where the type has them."""
    drawn = np.random.RandomState(number).uniform(-100, 100, (2, 3))
    if dtype.startswith("uint"):
        drawn = abs(drawn)
    if dtype == "bool":
        drawn = drawn > 0
    return drawn.astype("float32" if dtype == "bfloat16" else dtype)


def save(path: Path, variables: dict, *, version: int, sharded: bool = False) -> None:
    """Save, and keep what the variables hold."""
    config = tf.ConfigProto(device_count={"CPU": 2})
    saver = tf.train.Saver(variables, sharded=sharded, write_version=version)
    with tf.Session(config=config) as session:
        session.run(tf.global_variables_initializer())
        saver.save(session, str(path), write_meta_graph=False, write_state=False)
        read = session.run(variables) if isinstance(next(iter(variables.values())), tf.Variable) else {}
    plain = {
        name.replace("/", "|"): array.astype("float32") if array.dtype.name == "bfloat16" else array
        for name, array in read.items()
        if array.dtype != object
    }
    np.savez_compressed(path.with_suffix(".npz"), **plain)


def main(folder: Path) -> None:
    """Write them all."""
    tf.disable_v2_behavior()
    for version, name in ((tf.train.SaverDef.V1, "types_v1"), (tf.train.SaverDef.V2, "types_v2")):
        with tf.Graph().as_default():
            variables = {}
            # version 1 cannot store these two
            left_out = ("bfloat16", "uint16") if version == tf.train.SaverDef.V1 else ()
            for number, dtype in enumerate(dtype for dtype in TYPES if dtype not in left_out):
                with tf.device(f"/cpu:{number % 2}"):
                    initial = (
                        tf.constant(values(number, dtype).astype("float32")) if dtype == "bfloat16" else None
                    )
                    initial = tf.cast(initial, tf.bfloat16) if initial is not None else values(number, dtype)
                    variables[f"net/{dtype}"] = tf.get_variable(f"net/{dtype}", initializer=initial)
            variables["net/empty"] = tf.get_variable("net/empty", initializer=np.zeros((0, 4), "float32"))
            variables["net/long/" + "x" * 40] = tf.get_variable("long", initializer=np.float32(np.pi))
            if version == tf.train.SaverDef.V2:
                variables["text"] = tf.get_variable("text", initializer=tf.constant(["a", "bc"]))
            save(folder / f"{name}.ckpt", variables, version=version, sharded=version == tf.train.SaverDef.V2)
    with tf.Graph().as_default():
        part = tf.get_variable(
            "net/parts",
            shape=(4, 3),
            initializer=tf.ones_initializer(),
            partitioner=tf.fixed_size_partitioner(2),
        )
        for version, name in ((tf.train.SaverDef.V1, "parts_v1"), (tf.train.SaverDef.V2, "parts_v2")):
            save(folder / f"{name}.ckpt", {"net/parts": part}, version=version)
            (folder / f"{name}.npz").unlink()


main(Path(sys.argv[1]))
