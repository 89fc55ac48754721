"""`mini:<task>`: the twenty encoders of the mini-Taskonomy, which the package `modelatlas-mini` ships.

Names and cards need no data; weights do. Kernels are stored in float16, vectors in float32.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from torch import nn

from modelatlas.errors import InputError, MissingExtraError, ModelError
from modelatlas.fetch import mini_data
from modelatlas.zoo.architectures.mini import CODE, INPUT, Encoder
from modelatlas.zoo.card import ModelCard, WeightFile
from modelatlas.zoo.preprocess import Preprocess
from modelatlas.zoo.spec import ModelSpec, unknown_name
from modelatlas.zoo.weights import load_into, read_state_dict

__all__ = ["GROUPS", "MiniSource"]

_GROUPED: Final = {
    "2D": ("autoencoder", "colorization", "denoise", "edge2d", "inpainting_whole", "keypoint2d", "segment2d"),
    "3D": (
        "curvature", "edge3d", "keypoint3d", "reshade", "rgb2depth", "rgb2mist", "rgb2sfnorm", "segment25d",
    ),
    "geometric": ("room_layout", "vanishing_point"),
    "semantic": ("class_1000", "class_places", "segmentsemantic"),
}  # fmt: skip
GROUPS: Final = {task: group for group, tasks in _GROUPED.items() for task in tasks}
_STRIDE: Final = 16


class MiniSource:
    """The twenty encoders of the mini-Taskonomy."""

    prefix = "mini"
    summary = "mini:<task>, twenty encoders of one architecture trained on rendered rooms"
    options = ("size",)
    runs_user_code = False

    def names(self) -> Sequence[str]:
        """All tasks, sorted."""
        return sorted(GROUPS)

    def card(self, spec: ModelSpec) -> ModelCard:
        """Tell what is known of a task's encoder; checksum and scores where the data is installed."""
        task, size = _task(spec), _size(spec)
        return ModelCard(
            name=spec.text,
            spec=spec.text,
            task=task,
            group=GROUPS[task],
            licence="Apache-2.0",
            pretrained_encoder="none",
            input=Preprocess(size, size, (-1.0, 1.0), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
            layer="code",
            layer_shape=(CODE[0], size // _STRIDE, size // _STRIDE),
            **_stored(task),
        )

    def build(self, spec: ModelSpec, *, pretrained: bool) -> nn.Module:
        """Make the encoder; its weights must be those of the card."""
        encoder = Encoder()
        if pretrained:
            task = _task(spec)
            folder = mini_data(needed_for=spec.text)
            path = folder / _entry(folder, task)["file"]
            state = read_state_dict(path, model=spec.text)
            load_into(
                encoder, {name: value.float() for name, value in state.items()}, model=spec.text, path=path
            )
        return encoder


def _task(spec: ModelSpec) -> str:
    if spec.name not in GROUPS:
        raise unknown_name(spec, GROUPS, what="task")
    return spec.name


def _size(spec: ModelSpec) -> int:
    """Input size in pixels a side: the one it was trained at, or another that its stride divides."""
    text = spec.options.get("size", str(INPUT))
    if not text.isascii() or not text.isdigit() or not 32 <= int(text) <= 1024 or int(text) % _STRIDE:
        raise InputError(f"{spec.text}: size is {text!r}; it must be a multiple of {_STRIDE} from 32 to 1024")
    return int(text)


def _stored(task: str) -> dict[str, Any]:
    """Fields of the card that only the data knows."""
    file = WeightFile(package="pypi:modelatlas-mini", format="safetensors")
    try:
        folder = mini_data(needed_for=f"mini:{task}")
        entry = _entry(folder, task)
    except (MissingExtraError, ModelError):  # a card needs no data; loading says what is wrong
        return {"weights": (file,)}
    score = entry["score"]
    return {
        "weights": (replace(file, sha256=entry["sha256"], bytes=entry["bytes"]),),
        "training_data": f"{entry['training']['views']['training']:,} views of rendered rooms",
        "notes": f"loss on test views: {score['ratio']:.2f} of the best constant answer's, "
        f"{score['ratio_random']:.2f} of that of a readout on the untrained encoder",
    }


def _entry(folder: Path, task: str) -> dict[str, Any]:
    entry = _cards(folder).get(task)
    if entry is None:
        raise ModelError(
            f"mini:{task}",
            f"{folder} has no such encoder; install modelatlas-mini again",
        )
    return entry


@cache
def _cards(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / "cards.json"
    try:
        return {card["task"]: card for card in json.loads(path.read_text(encoding="utf-8"))}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError("mini", f"{path} cannot be read ({error}); install modelatlas-mini again") from error
