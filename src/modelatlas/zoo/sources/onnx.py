"""`onnx:<file>`: a network in an ONNX file (`size=`, `mean=`, `std=`, `range=`, `order=`: what it expects).

Without them: the size that the file states (else 224), RGB, ImageNet mean and std. `output=NAME` cuts the
graph at a tensor, so that decoding steps behind it are left out. No code of a file is run.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from modelatlas.errors import InputError
from modelatlas.zoo.card import ModelCard, WeightFile
from modelatlas.zoo.input_options import INPUT_OPTIONS, with_input_options
from modelatlas.zoo.onnx_graphs.network import ImageGraph, image_layout
from modelatlas.zoo.onnx_graphs.reading import GraphFile
from modelatlas.zoo.preprocess import Preprocess
from modelatlas.zoo.spec import ModelSpec

__all__ = ["OnnxSource"]


class OnnxSource:
    """Networks in ONNX files."""

    prefix = "onnx"
    summary = "onnx:<file>, a network in an ONNX file"
    options = ("output", *INPUT_OPTIONS)
    runs_user_code = False

    def names(self) -> Sequence[str]:
        """Nothing: any file may hold a network."""
        return ()

    def card(self, spec: ModelSpec) -> ModelCard:
        """Card with the file; what the network expects is read when it is loaded."""
        path = _path(spec)
        # with what exporters put beside a large file: m.onnx.data, m.onnx_data
        found = [one for one in sorted(path.parent.iterdir()) if one.name.startswith(path.name)]
        files = (WeightFile(url=str(one), bytes=one.stat().st_size, format="onnx") for one in found)
        return ModelCard(name=spec.text, spec=spec.text, weights=tuple(files))

    def build(self, spec: ModelSpec, *, pretrained: bool) -> nn.Module:
        """Make the network of the file, with its weights or fresh ones."""
        file = GraphFile.read(_path(spec), model=spec.text)
        channels_last, channels, height, width = image_layout(file, model=spec.text)
        preprocess = _preprocess(spec, channels, height, width)
        if (height, width) not in ((None, None), (preprocess.height, preprocess.width)):
            raise InputError(
                f"{spec.text}: the file takes images of {height} x {width}, and size= says "
                f"{preprocess.height} x {preprocess.width}; leave it out"
            )
        outputs = [spec.options["output"]] if "output" in spec.options else list(file.outputs)
        graph = file.network(outputs, model=spec.text)
        if needed := [name for name in file.others if name in graph.reads]:
            inputs = ", ".join([file.source, *needed])
            raise InputError(
                f"{spec.text}: the graph has {1 + len(needed)} inputs ({inputs}), and only networks of one "
                "image can be charted; export it with the others as constants, or cut it (output=NAME)"
            )
        network = ImageGraph(graph, channels_last=channels_last)
        network.eval()
        network.check_batches((channels, preprocess.height, preprocess.width), model=spec.text)
        network.preprocess = preprocess  # type: ignore[assignment]
        for layer in [] if pretrained else network.modules():
            if callable(reset := getattr(layer, "reset_parameters", None)):
                reset()
        return network


def _path(spec: ModelSpec) -> Path:
    if not spec.path.is_file():
        raise InputError(f"{spec.text}: there is no file {spec.path}")
    return spec.path


def _preprocess(spec: ModelSpec, channels: int, height: int | None, width: int | None) -> Preprocess:
    known = Preprocess(height=height or 224, width=width or height or 224)
    if channels == 1:
        known = replace(known, mean=(0.5,), std=(0.5,), channel_order="L")
    asked = with_input_options(known, spec)
    if asked.channels != channels:
        raise InputError(
            f"{spec.text}: the file takes {channels} channels, and order={asked.channel_order} has others"
        )
    return asked
