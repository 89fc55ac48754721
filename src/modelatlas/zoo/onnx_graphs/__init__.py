"""ONNX graphs as torch modules: read by ourselves, one named submodule a node."""

from modelatlas.zoo.onnx_graphs.graph import OnnxGraph
from modelatlas.zoo.onnx_graphs.reading import GraphFile, read_graph

__all__ = ["GraphFile", "OnnxGraph", "read_graph"]
