"""An ONNX graph, or the part of it that leads to some of its tensors, as a torch module.

One submodule a node, named `<op>_<number in the file>` (so that a layer can be named), with ordinary
`nn.Conv2d`, `nn.Linear`, ... where torch has them. What constants alone make is computed once.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from modelatlas.zoo.onnx_graphs.fusing import fused
from modelatlas.zoo.onnx_graphs.layers import evaluate, layer_of
from modelatlas.zoo.onnx_graphs.nodes import BATCH, Arrays, Node, UnsupportedError

__all__ = ["OnnxGraph"]


class OnnxGraph(nn.Module):
    """The part of an ONNX graph that leads from its input to the outputs asked for.

    Parameters
    ----------
    nodes, arrays
        Nodes in order of evaluation; constants by name.
    source
        Name of the input tensor.
    outputs
        Names of the tensors to return; one: that tensor, more: a tuple of them.

    Raises
    ------
    UnsupportedError
        Naming all operators on the way that are not known here.
    KeyError
        The graph has no such output.
    """

    def __init__(self, nodes: Sequence[Node], arrays: Arrays, *, source: str, outputs: Sequence[str]) -> None:
        super().__init__()
        self._source, self._outputs = source, tuple(outputs)
        self._plan: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = []
        live, known = _folded(nodes, arrays)
        unknown: dict[str, None] = {}
        for node in _needed(fused(live, known), outputs):
            try:
                module, inputs = layer_of(node, known)
            except UnsupportedError as error:
                unknown[str(error)] = None
                continue
            self.add_module(node.name, module)
            self._plan.append((node.name, inputs, node.outputs))
        if unknown:
            raise UnsupportedError(", ".join(unknown))
        last_use = {name: step for step, (_, inputs, _) in enumerate(self._plan) for name in inputs}
        kept = set(self._outputs)
        self._free = [
            [name for name in set(inputs) if last_use[name] == step and name not in kept]
            for step, (_, inputs, _) in enumerate(self._plan)
        ]

    @property
    def reads(self) -> frozenset[str]:
        """Names of the tensors that it reads and no node of it makes: its input, and others of the file."""
        made = {name for _, _, outputs in self._plan for name in outputs}
        return frozenset(name for _, inputs, _ in self._plan for name in inputs) - made

    def forward(self, images: Tensor) -> Any:
        """Evaluate; a tensor that no later node reads is let go."""
        BATCH.set(len(images))
        values: dict[str, Any] = {self._source: images}
        for (name, inputs, outputs), free in zip(self._plan, self._free, strict=True):
            made = self.get_submodule(name)(*(values[key] for key in inputs))
            values |= zip(outputs, made if isinstance(made, tuple) else (made,), strict=False)
            for key in free:
                del values[key]
        results = tuple(values[name] for name in self._outputs)
        return results[0] if len(results) == 1 else results


def _folded(nodes: Sequence[Node], arrays: Arrays) -> tuple[list[Node], dict[str, np.ndarray]]:
    """Compute what constants alone make; the nodes that are left, and all constants."""
    live, known = [], dict(arrays)
    for node in nodes:
        if all(name in known for name in node.inputs if name):
            try:
                known |= dict(zip(node.outputs, evaluate(node, known), strict=False))
                continue
            except UnsupportedError:  # an error only if it turns out to be needed
                pass
        live.append(node)
    return live, known


def _needed(nodes: Sequence[Node], outputs: Sequence[str]) -> list[Node]:
    """Nodes on the way to the outputs, in order."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted & set(node.outputs):
            wanted |= set(node.inputs)
            kept.append(node)
    if missing := set(outputs) - {name for node in kept for name in node.outputs}:
        raise KeyError(sorted(missing)[0])
    return kept[::-1]
