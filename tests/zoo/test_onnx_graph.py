"""ONNX graphs as torch modules, against onnxruntime on small graphs made here, operator by operator."""

import numpy as np
import pytest
import torch
from torch import nn

from modelatlas.errors import ModelError
from modelatlas.zoo.onnx_graphs import read_graph
from modelatlas.zoo.onnx_graphs.layers import _MAKERS
from modelatlas.zoo.onnx_graphs.operators import OPERATORS

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


def ints(name: str, *values) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, np.int64), name)


def of(op: str, *inputs: str, constants=(), before=(), opset=15, **attributes):
    """A graph that ends in one node; `before` are the nodes that make its other inputs."""
    return (
        [*before, helper.make_node(op, list(inputs or ("x",)), ["y"], **attributes)],
        list(constants),
        opset,
    )


def node(op: str, inputs: list[str], output: str, **attributes):
    return helper.make_node(op, inputs, [output], **attributes)


POSITIVE = [node("Abs", ["x"], "a"), node("Add", ["a", "one"], "p")]
ONE = constant("one", 1.0)
FLAGS = [node("Greater", ["x", "z"], "f"), node("Less", ["x", "one"], "g")]
ZERO = constant("z", 0.0)


def flags(op: str, *inputs: str):
    """A logical operator; its result is seen as numbers."""
    nodes = [*FLAGS, node(op, list(inputs), "b"), node("Cast", ["b"], "y", to=1)]
    return nodes, [ZERO, ONE], 15


MORE = {
    **{
        op: of(op)
        for op in (
            "Abs",
            "Ceil",
            "Cos",
            "Erf",
            "Exp",
            "Floor",
            "Neg",
            "Relu",
            "Round",
            "Sigmoid",
            "Sign",
            "Sin",
            "Softplus",
            "Softsign",
            "Tanh",
            "Selu",
            "Elu",
            "LeakyRelu",
            "Celu",
            "Identity",
            "Dropout",
            "GlobalMaxPool",
            "GlobalAveragePool",
        )
    },
    **{op: of(op, "p", before=POSITIVE, constants=[ONE]) for op in ("Log", "Sqrt", "Reciprocal")},
    **{
        f"{op} {axis}": of(op, axis=axis, opset=opset)
        for op in ("Softmax", "LogSoftmax")
        for axis, opset in ((1, 13), (-1, 13), (1, 11), (3, 11))
    },
    **{
        f"{op} of activations": of(op, "x", "p", before=POSITIVE, constants=[ONE])
        for op in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean")
    },
    **{
        f"{op} of a constant": of(op, "x", "c", constants=[constant("c", weights(4, 1, 1))])
        for op in ("Sub", "Div", "Max")
    },
    "Pow": of("Pow", "p", "c", before=POSITIVE, constants=[ONE, constant("c", 2.5)]),
    "Mod": of("Mod", "p", "c", before=POSITIVE, constants=[ONE, constant("c", 0.7)], fmod=1),
    "Mod of whole numbers": (
        [node("Cast", ["x"], "i", to=7), node("Mod", ["i", "c"], "m"), node("Cast", ["m"], "y", to=1)],
        [ints("c", 3)],
        15,
    ),
    "Div of whole numbers": (
        [node("Cast", ["x"], "i", to=7), node("Div", ["i", "c"], "m"), node("Cast", ["m"], "y", to=1)],
        [ints("c", 2)],
        15,
    ),
    **{op: flags(op, "f", "g") for op in ("And", "Or", "Xor")},
    "Not": flags("Not", "f"),
    **{
        op: ([node(op, ["x", "z"], "b"), node("Cast", ["b"], "y", to=1)], [ZERO], 16)
        for op in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
    },
    "Where": ([*FLAGS, node("Where", ["f", "x", "one"], "y")], [ZERO, ONE], 15),
    "Clip": of("Clip", "x", "lo", "hi", constants=[constant("lo", -1), constant("hi", 2)]),
    "Clip above": of("Clip", "x", "", "hi", constants=[constant("hi", 2)]),
    "Clip of old": of("Clip", min=-0.5, max=1.5, opset=7),
    "relu6": of("Clip", "x", "lo", "hi", constants=[constant("lo", 0), constant("hi", 6)]),
    "PRelu": of("PRelu", "x", "c", constants=[constant("c", weights(4, 1, 1))]),
    "Gelu": of("Gelu", opset=20),
    "Gelu tanh": of("Gelu", approximate="tanh", opset=20),
    "Mish": of("Mish", opset=18),
    **{
        f"{op} {keep}": of(op, axes=[2, 3], keepdims=keep, opset=11)
        for op in (
            "ReduceMean",
            "ReduceSum",
            "ReduceMax",
            "ReduceMin",
            "ReduceL1",
            "ReduceL2",
            "ReduceProd",
            "ReduceSumSquare",
            "ReduceLogSumExp",
        )
        for keep in (0, 1)
    },
    "ReduceMean by input": of("ReduceMean", "x", "c", constants=[ints("c", -1)], opset=18),
    "ReduceSum of all": of("ReduceSum", opset=13),
    "ReduceSum of nothing": of("ReduceSum", noop_with_empty_axes=1, opset=13),
    **{
        op: ([node(op, ["x"], "i", axis=1, keepdims=0), node("Cast", ["i"], "y", to=1)], [], 13)
        for op in ("ArgMax", "ArgMin")
    },
    "Reshape": of("Reshape", "x", "c", constants=[ints("c", 0, -1, 10)]),
    "Reshape by Shape": (
        [
            node("Shape", ["x"], "s"),
            node("Gather", ["s", "i"], "n"),
            node("Concat", ["n", "c"], "t", axis=0),
            node("Reshape", ["x", "t"], "y"),
        ],
        [ints("i", 0), ints("c", -1)],
        15,
    ),
    "Shape cut": ([node("Shape", ["x"], "s", start=2), node("Cast", ["s"], "y", to=1)], [], 15),
    "Size": ([node("Size", ["x"], "s"), node("Cast", ["s"], "y", to=1)], [], 15),
    "Flatten": of("Flatten"),
    "Flatten at 2": of("Flatten", axis=2),
    "Squeeze": (
        [node("ReduceMean", ["x"], "m", axes=[2, 3]), node("Squeeze", ["m", "c"], "y")],
        [ints("c", 2, 3)],
        13,
    ),
    "Squeeze of old": (
        [node("ReduceMean", ["x"], "m", axes=[2]), node("Squeeze", ["m"], "y", axes=[2])],
        [],
        11,
    ),
    "Unsqueeze": of("Unsqueeze", "x", "c", constants=[ints("c", 0, -1)]),
    "Unsqueeze of old": of("Unsqueeze", axes=[1], opset=11),
    "Transpose": of("Transpose", perm=[0, 2, 3, 1]),
    "Transpose reversed": of("Transpose"),
    "Concat": of("Concat", "x", "x", axis=-1),
    "Split": ([helper.make_node("Split", ["x"], ["u", "v"], axis=1), node("Sub", ["u", "v"], "y")], [], 13),
    "Split by sizes": ([helper.make_node("Split", ["x", "c"], ["u", "y"], axis=1)], [ints("c", 1, 3)], 13),
    "Split of old": ([helper.make_node("Split", ["x"], ["u", "y"], axis=2, split=[5, 7])], [], 11),
    "Slice": of(
        "Slice", "x", "s", "e", "a", constants=[ints("s", 1, -9), ints("e", 2**62, -1), ints("a", 1, 3)]
    ),
    "Slice by steps": of(
        "Slice",
        "x",
        "s",
        "e",
        "a",
        "t",
        constants=[ints("s", -1, 0), ints("e", -(2**62), 9), ints("a", 2, 3), ints("t", -1, 2)],
    ),
    "Slice of old": of("Slice", starts=[0, 1], ends=[2, 3], axes=[1, 2], opset=9),
    "Gather one": of("Gather", "x", "c", constants=[numpy_helper.from_array(np.asarray(-1), "c")], axis=1),
    "Gather": of(
        "Gather", "x", "c", constants=[numpy_helper.from_array(np.asarray([[0, 2], [1, -1]]), "c")], axis=2
    ),
    "Expand": (
        [node("GlobalAveragePool", ["x"], "m"), node("Expand", ["m", "c"], "y")],
        [ints("c", 1, 4, 5, 6)],
        13,
    ),
    "Tile": of("Tile", "x", "c", constants=[ints("c", 1, 2, 1, 3)]),
    **{
        f"Pad {mode}": of("Pad", "x", "c", constants=[ints("c", 0, 0, 1, 2, 0, 0, 3, 4)], mode=mode)
        for mode in ("constant", "reflect", "edge")
    },
    "Pad with": of("Pad", "x", "c", "v", constants=[ints("c", 0, 1, 1, 2, 0, 0, 3, 4), constant("v", 7)]),
    "Pad of axes": of("Pad", "x", "c", "", "a", constants=[ints("c", 1, 2), ints("a", 3)], opset=18),
    "Pad of old": of("Pad", pads=[0, 0, 1, 1, 0, 0, 1, 1], value=2.0, opset=10),
    "Range and ConstantOfShape": (
        [
            node("Shape", ["x"], "s"),
            node("Gather", ["s", "i"], "n"),
            node("Range", ["o", "n", "e"], "r"),
            node("Cast", ["r"], "q", to=1),
            node("Shape", ["q"], "t"),
            node("ConstantOfShape", ["t"], "w", value=constant("v", [3.0])),
            node("Mul", ["q", "w"], "d"),
            node("Mul", ["x", "d"], "y"),
        ],
        [
            numpy_helper.from_array(np.asarray(number), name)
            for name, number in (("i", 3), ("o", 0), ("e", 1))
        ],
        15,
    ),
    "Trilu": of("Trilu"),
    "Trilu lower": of("Trilu", "x", "c", constants=[numpy_helper.from_array(np.asarray(1), "c")], upper=0),
    "DepthToSpace": of("DepthToSpace", blocksize=2),
    "DepthToSpace CRD": of("DepthToSpace", blocksize=2, mode="CRD"),
    "SpaceToDepth": of("SpaceToDepth", blocksize=2),
    "Einsum": of("Einsum", "x", "x", equation="nchw,ndhw->ncd"),
    "LRN": of("LRN", size=3, alpha=0.1, beta=0.6, bias=1.5),
    "LpNormalization": of("LpNormalization", axis=1),
    "MaxPool": of("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "MaxPool uneven": of("MaxPool", kernel_shape=[3, 2], strides=[2, 2], pads=[0, 1, 1, 0]),
    "MaxPool same": of("MaxPool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
    "MaxPool ceil": of("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    **{
        f"AveragePool {counts}": of(
            "AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=counts
        )
        for counts in (0, 1)
    },
    "AveragePool same": of("AveragePool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER"),
    "Conv same": of(
        "Conv",
        "x",
        "w",
        constants=[constant("w", weights(6, 4, 3, 3))],
        strides=[2, 2],
        auto_pad="SAME_UPPER",
    ),
    "Conv same lower": of(
        "Conv",
        "x",
        "w",
        constants=[constant("w", weights(6, 4, 3, 3))],
        strides=[2, 2],
        auto_pad="SAME_LOWER",
    ),
    "Conv uneven": of("Conv", "x", "w", constants=[constant("w", weights(6, 4, 3, 3))], pads=[0, 1, 2, 0]),
    "Conv by defaults": of("Conv", "x", "w", constants=[constant("w", weights(6, 4, 3, 3))]),
    "Conv of a line": (
        [node("Reshape", ["x", "c"], "r"), node("Conv", ["r", "w"], "y", pads=[1, 1])],
        [ints("c", 0, 4, -1), constant("w", weights(6, 4, 3))],
        15,
    ),
    "Conv with a weight that is computed": (
        [node("ReduceMean", ["x"], "m", axes=[0], keepdims=1), node("Conv", ["x", "m"], "y")],
        [],
        15,
    ),
    "ConvTranspose": of(
        "ConvTranspose",
        "x",
        "w",
        constants=[constant("w", weights(4, 3, 3, 3))],
        strides=[2, 2],
        pads=[1, 1, 1, 1],
        output_padding=[1, 1],
    ),
    "MatMul": of("MatMul", "x", "w", constants=[constant("w", weights(10, 7))]),
    "MatMul of activations": (
        [node("Transpose", ["x"], "t", perm=[0, 1, 3, 2]), node("MatMul", ["x", "t"], "y")],
        [],
        13,
    ),
    "Gemm": (
        [node("Flatten", ["x"], "r"), node("Gemm", ["r", "w", "b"], "y", transB=1, alpha=0.5, beta=2.0)],
        [constant("w", weights(3, 480)), constant("b", weights(3))],
        13,
    ),
    "Gemm of one bias": (
        [node("Flatten", ["x"], "r"), node("Gemm", ["r", "w", "b"], "y")],
        [constant("w", weights(480, 3)), constant("b", weights(1))],
        13,
    ),
    "Gemm of activations": ([node("Flatten", ["x"], "r"), node("Gemm", ["r", "r"], "y", transB=1)], [], 13),
    "InstanceNormalization": of(
        "InstanceNormalization",
        "x",
        "s",
        "b",
        constants=[constant("s", weights(4)), constant("b", weights(4))],
    ),
    "LayerNormalization": of(
        "LayerNormalization",
        "x",
        "s",
        "b",
        opset=17,
        constants=[constant("s", weights(10)), constant("b", weights(10))],
        epsilon=1e-3,
    ),
    "LayerNormalization of two axes": of(
        "LayerNormalization", "x", "s", opset=17, axis=2, constants=[constant("s", weights(12, 10))]
    ),
    "GroupNormalization": of(
        "GroupNormalization",
        "x",
        "s",
        "b",
        opset=21,
        num_groups=2,
        constants=[constant("s", weights(4)), constant("b", weights(4))],
    ),
    "BatchNormalization of what is computed": (
        [
            node("ReduceMean", ["x"], "m", axes=[0, 2, 3], keepdims=0),
            node("BatchNormalization", ["x", "m", "b", "b", "v"], "y"),
        ],
        [constant("b", weights(4)), constant("v", RNG.uniform(0.1, 2, 4))],
        15,
    ),
    "Upsample": of("Upsample", "x", "c", constants=[constant("c", [1, 1, 2, 3])], opset=9),
    "Resize bilinear": of("Resize", "x", "", "c", constants=[constant("c", [1, 1, 1.5, 2])], mode="linear"),
    "Resize to a size": of(
        "Resize",
        "x",
        "",
        "",
        "c",
        constants=[ints("c", 2, 4, 7, 23)],
        mode="linear",
        coordinate_transformation_mode="align_corners",
    ),
    "Resize bicubic": of("Resize", "x", "", "c", constants=[constant("c", [1, 1, 2, 2])], mode="cubic"),
    "Resize of old": of(
        "Resize", "x", "c", constants=[constant("c", [1, 1, 2, 2])], mode="nearest", opset=10
    ),
    **{
        f"LSTM {direction}": (
            [
                node("Reshape", ["x", "c"], "r"),
                node("Transpose", ["r"], "t", perm=[1, 0, 2]),
                helper.make_node(
                    "LSTM", ["t", "w", "u", "b"], ["y", "h", "k"], hidden_size=3, direction=direction
                ),
            ],
            [
                ints("c", 0, 12, -1),
                constant("w", weights(number, 12, 40)),
                constant("u", weights(number, 12, 3)),
                constant("b", weights(number, 24)),
            ],
            14,
        )
        for direction, number in (("forward", 1), ("bidirectional", 2))
    },
}
CASES = {name: (*case, 15) for name, case in CASES.items()} | MORE


def test_every_operator_that_is_known_is_tested():
    tested = {item.op_type for nodes, _, _ in CASES.values() for item in nodes}
    assert set(OPERATORS) | set(_MAKERS) <= tested


@pytest.mark.parametrize("case", CASES)
def test_each_operator_is_onnxruntimes(tmp_path, case):
    nodes, constants, opset = CASES[case]
    for as_nodes in (False, True):
        agree(save(tmp_path / "m.onnx", nodes, constants, constants_as_nodes=as_nodes, opset=opset))


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
    assert kinds(network) == ["HardSwish"]


@pytest.mark.parametrize(
    "changed", [constant("three", 2), constant("top", 5), constant("six", 4), constant("zero", 1)]
)
def test_what_only_looks_like_one_is_not_taken_for_one(tmp_path, changed):
    numbers = [changed if item.name == changed.name else item for item in NUMBERS]
    network = agree(save(tmp_path / "m.onnx", hardswish("x", "y"), numbers))
    assert "HardSwish" not in kinds(network)


def kinds(network: nn.Module) -> list[str]:
    return [type(module).__name__ for module in network.children()]


def gelu(*, half_first: bool, product: str = "Div") -> list:
    scaled = [node(product, ["x", "root"], "s"), node("Erf", ["s"], "e"), node("Add", ["one", "e"], "a")]
    if half_first:
        return [*scaled, node("Mul", ["x", "half"], "h"), node("Mul", ["h", "a"], "y")]
    return [*scaled, node("Mul", ["a", "x"], "m"), node("Mul", ["m", "half"], "y")]


@pytest.mark.parametrize("half_first", [True, False])
@pytest.mark.parametrize("product", ["Div", "Mul"])
def test_a_gelu_that_was_taken_apart_is_one_again(tmp_path, half_first, product):
    root = constant("root", 2**0.5 if product == "Div" else 0.5**0.5)
    numbers = [root, ONE, constant("half", 0.5)]
    path = save(tmp_path / "m.onnx", gelu(half_first=half_first, product=product), numbers)
    assert kinds(agree(path)) == ["Gelu"]
    for changed in (constant("root", 1.3), constant("one", 0.9), constant("half", 0.6)):
        odd = [changed if item.name == changed.name else item for item in numbers]
        network = agree(save(tmp_path / "m.onnx", gelu(half_first=half_first, product=product), odd))
        assert "Gelu" not in kinds(network)


def test_a_layer_norm_that_was_taken_apart_is_one_again(tmp_path):
    nodes = [
        node("ReduceMean", ["x"], "m", axes=[-1]),
        node("Sub", ["x", "m"], "d"),
        node("Pow", ["d", "two"], "q"),
        node("ReduceMean", ["q"], "v", axes=[-1]),
        node("Add", ["v", "e"], "w"),
        node("Sqrt", ["w"], "r"),
        node("Div", ["d", "r"], "n"),
        node("Mul", ["n", "s"], "g"),
        node("Add", ["g", "b"], "y"),
    ]
    numbers = [
        constant("two", 2),
        constant("e", 1e-3),
        constant("s", weights(10)),
        constant("b", weights(10)),
    ]
    assert kinds(agree(save(tmp_path / "m.onnx", nodes, numbers))) == ["LayerNorm"]
    odd = [constant("two", 3) if item.name == "two" else item for item in numbers]
    network = read_graph(save(tmp_path / "m.onnx", nodes, odd), outputs=["y"], model="m")[0]
    assert "LayerNorm" not in kinds(network)
    nodes[0] = node("ReduceMean", ["x"], "m", axes=[-2])
    assert "LayerNorm" not in kinds(agree(save(tmp_path / "m.onnx", nodes, numbers)))


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
    with pytest.raises(ModelError, match=r"not known here: NonMaxSuppression\. .*output=NAME"):
        read_graph(path, outputs=["y"], model="m")
    with pytest.raises(ModelError, match="has no tensor 'absent'"):
        read_graph(path, outputs=["absent"], model="m")


def test_a_file_that_is_no_onnx_is_named(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"\xff" * 100)
    with pytest.raises(ModelError, match="is no readable ONNX file"):
        read_graph(tmp_path / "m.onnx", outputs=["y"], model="m")
