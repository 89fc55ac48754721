"""A graph with one image input as a network that takes [N, C, H, W], in batches of any size.

Many files are exported for one image. Where such a graph's reshapes allow it (a leading 1 that means the
batch), it takes several all the same; that two images together give what each gives alone is checked when
it is made.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from modelatlas.errors import InputError, ModelError
from modelatlas.zoo.onnx_graphs.reading import GraphFile

__all__ = ["ImageGraph", "image_layout"]


class ImageGraph(nn.Module):
    """A graph of images; `graph` holds its nodes."""

    def __init__(self, graph: nn.Module, *, channels_last: bool) -> None:
        super().__init__()
        self.graph = graph
        self._channels_last = channels_last

    def forward(self, images: Tensor) -> Any:
        """[N, C, H, W] -> what the graph returns."""
        return self.graph(images.permute(0, 2, 3, 1) if self._channels_last else images)

    def check_batches(self, size: Sequence[int], *, model: str) -> None:
        """Compare two images together with each alone.

        Raises
        ------
        ModelError
            They differ, or the graph does not run on two.
        """
        images = torch.rand(2, *size, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            try:
                alone = [_first(self(image[None])) for image in images]
            except Exception as error:  # whatever torch raises where shapes do not meet
                raise ModelError(
                    model,
                    f"the graph does not run on an image of {list(size)} ({_line(error)}); is size= right?",
                ) from error
            try:
                together = _first(self(images))
                same = torch.allclose(together, torch.cat(alone), rtol=1e-3, atol=1e-5)
            except Exception:  # two images do not even run
                same = False
        if not same:
            raise ModelError(
                model,
                "the graph takes one image at a time only; export it again with a batch axis that is free",
            )


def image_layout(file: GraphFile, *, model: str) -> tuple[bool, int, int | None, int | None]:
    """Whether the input has channels last, and its channels, height and width (None: any).

    Raises
    ------
    InputError
        It is no image.
    """
    shape = file.shape
    if len(shape) == 4:
        if shape[1] in (1, 3):
            return False, shape[1], shape[2], shape[3]
        if shape[3] in (1, 3):
            return True, shape[3], shape[1], shape[2]
        if shape[1] is None and shape[3] is None:
            return False, 3, shape[2], shape[3]
    beside = f" (others: {', '.join(file.others)})" if file.others else ""
    raise InputError(
        f"{model}: its input {file.source!r}{beside} is {list(shape)}, not a batch of RGB or grey images "
        "([N, C, H, W] or [N, H, W, C])"
    )


def _first(output: Any) -> Tensor:
    result = output[0] if isinstance(output, tuple) else output
    assert isinstance(result, Tensor)
    return result


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
