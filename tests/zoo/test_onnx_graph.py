"""ONNX graphs as torch modules, against onnxruntime on small graphs made here, operator by operator."""

import numpy as np
import pytest
import torch
from torch import nn

from modelatlas.errors import ModelError
from modelatlas.zoo.packaged.onnx_graph import read_graph

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

RNG = np.random.default_rng(0)


def constant(name: str, value) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value, np.float32), name)


def save(path, nodes, constants, *, outputs=("y",), constants_as_nodes=False, opset=15):
    if constants_as_nodes:  # as older Paddle exports do
        nodes = [helper.make_node("Constant", [], [item.name], value=item) for item in constants] + nodes
        constants = []
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    images = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 12, 10])
    graph = helper.make_graph(nodes, "g", [images], made, initializer=constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def agree(path, *, outputs=("y",)) -> nn.Module:
    images = RNG.normal(0, 3, (2, 4, 12, 10)).astype(np.float32)
    expected = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(
        list(outputs), {"x": images}
    )
    network = read_graph(path, outputs=outputs, model="m")[0].eval()
    with torch.no_grad():
        got = network(torch.from_numpy(images))
    for ours, theirs in zip(got if isinstance(got, tuple) else (got,), expected, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-4, atol=1e-5)
    return network


def weights(*shape):
    return RNG.normal(0, 0.5, shape)


CONV = {"kernel_shape": [3, 3], "dilations": [1, 1], "pads": [1, 1, 1, 1]}
CASES = {
    "conv": ([helper.make_node("Conv", ["x", "w", "b"], ["y"], strides=[2, 2], group=1, **CONV)],
             [constant("w", weights(6, 4, 3, 3)), constant("b", weights(6))]),
    "conv without bias": ([helper.make_node("Conv", ["x", "w"], ["y"], strides=[1, 1], group=1, **CONV)],
                          [constant("w", weights(6, 4, 3, 3))]),
    "depthwise": ([helper.make_node("Conv", ["x", "w"], ["y"], strides=[1, 1], group=4, **CONV)],
                  [constant("w", weights(4, 1, 3, 3))]),
    "grouped": ([helper.make_node("Conv", ["x", "w"], ["y"], strides=[1, 1], group=2, **CONV)],
                [constant("w", weights(6, 2, 3, 3))]),
    "transposed": ([helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], kernel_shape=[2, 2],
                                     dilations=[1, 1], pads=[0, 0, 0, 0], group=1)],
                   [constant("w", weights(4, 3, 2, 2))]),
    "batch norm": ([helper.make_node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"], epsilon=1e-3)],
                   [constant("s", weights(4)), constant("b", weights(4)), constant("m", weights(4)),
                    constant("v", RNG.uniform(0.1, 2, 4))]),
    "hard sigmoid": ([helper.make_node("HardSigmoid", ["x"], ["y"], alpha=0.2, beta=0.5)], []),
    "hard sigmoid by default": ([helper.make_node("HardSigmoid", ["x"], ["y"])], []),
    "hard swish": ([helper.make_node("HardSwish", ["x"], ["y"])], []),
    "sigmoid": ([helper.make_node("Sigmoid", ["x"], ["y"])], []),
    "relu": ([helper.make_node("Relu", ["x"], ["y"])], []),
    "identity": ([helper.make_node("Identity", ["x"], ["y"])], []),
    "pool": ([helper.make_node("GlobalAveragePool", ["x"], ["y"])], []),
    "shift": ([helper.make_node("Add", ["x", "c"], ["y"])], [constant("c", weights(1, 4, 1, 1))]),
    "scale": ([helper.make_node("Mul", ["c", "x"], ["y"])], [constant("c", weights(1))]),
    "sum": ([helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Add", ["x", "r"], ["y"])], []),
    "gate": ([helper.make_node("GlobalAveragePool", ["x"], ["p"]), helper.make_node("Sigmoid", ["p"], ["g"]),
              helper.make_node("Mul", ["x", "g"], ["y"])], []),
    "concat": ([helper.make_node("Relu", ["x"], ["r"]),
                helper.make_node("Concat", ["x", "r"], ["y"], axis=1)], []),
    "upsampling": ([helper.make_node("Resize", ["x", "", "s"], ["y"], mode="nearest", nearest_mode="floor",
                                     coordinate_transformation_mode="asymmetric")],
                   [constant("s", [1, 1, 2, 3])]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("constants_as_nodes", [False, True])
def test_each_operator_is_onnxruntimes(tmp_path, case, constants_as_nodes):
    nodes, constants = CASES[case]
    agree(save(tmp_path / "m.onnx", nodes, constants, constants_as_nodes=constants_as_nodes))


def hardswish(x: str, y: str, *, clip: str = "c", six: str = "six", order=("x", "c")) -> list:
    names = {"x": x, "c": clip}
    return [
        helper.make_node("Add", [x, "three"], ["a"]),
        helper.make_node("Clip", ["a", "zero", "top"], [clip]),
        helper.make_node("Mul", [names[key] for key in order], ["p"]),
        helper.make_node("Div", ["p", six], [y]),
    ]


NUMBERS = [constant("three", 3), constant("zero", 0), constant("top", 6), constant("six", 6)]


@pytest.mark.parametrize("order", [("x", "c"), ("c", "x")])
def test_a_hard_swish_that_was_taken_apart_is_one_again(tmp_path, order):
    network = agree(save(tmp_path / "m.onnx", hardswish("x", "y", order=order), NUMBERS))
    assert [type(module) for module in network.children()] == [nn.Hardswish]


@pytest.mark.parametrize(
    "changed", [constant("three", 2), constant("top", 5), constant("six", 4), constant("zero", 1)]
)
def test_what_only_looks_like_one_is_named_not_taken_for_one(tmp_path, changed):
    numbers = [changed if item.name == changed.name else item for item in NUMBERS]
    path = save(tmp_path / "m.onnx", hardswish("x", "y"), numbers)
    with pytest.raises(ModelError, match="has the ONNX operator or tensor 'Clip', which is not known here"):
        read_graph(path, outputs=["y"], model="m")


def test_the_graph_is_cut_where_it_is_asked_to(tmp_path):
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Sigmoid", ["r"], ["s"]),
        helper.make_node("NonMaxSuppression", ["s"], ["y"]),
    ]
    path = save(tmp_path / "m.onnx", nodes, [])
    network, _ = read_graph(path, outputs=["r", "s"], model="m")
    images = torch.randn(1, 4, 12, 10)
    relu, sigmoid = network(images)
    torch.testing.assert_close(relu, images.relu())
    torch.testing.assert_close(sigmoid, images.relu().sigmoid())
    assert [name for name, _ in network.named_children()] == ["relu_0", "sigmoid_0"]
    with pytest.raises(ModelError, match="'absent', which is not known here"):
        read_graph(path, outputs=["absent"], model="m")


def test_a_file_that_is_no_onnx_is_named(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"\xff" * 100)
    with pytest.raises(ModelError, match="is no readable ONNX file"):
        read_graph(tmp_path / "m.onnx", outputs=["y"], model="m")
