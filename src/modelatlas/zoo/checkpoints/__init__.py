"""Checkpoints of other frameworks, read without those frameworks and without running anything.

`open_checkpoint` gives the arrays of a file by name; `filled` turns them into a network's state dict by a
`NameTable`. Formats: TensorFlow 1 (V1, V2), .npy dictionary, MatConvNet .mat, pickle of arrays, .pth,
safetensors.
"""

from modelatlas.zoo.checkpoints.checkpoint import Checkpoint, CheckpointFormat, StoredArray
from modelatlas.zoo.checkpoints.filling import Filled, Layout, NameTable, Slot, filled, normed, unused_of
from modelatlas.zoo.checkpoints.opening import open_checkpoint
from modelatlas.zoo.checkpoints.tensorflow_v2 import shard_names

__all__ = [
    "Checkpoint",
    "CheckpointFormat",
    "Filled",
    "Layout",
    "NameTable",
    "Slot",
    "StoredArray",
    "filled",
    "normed",
    "open_checkpoint",
    "shard_names",
    "unused_of",
]
