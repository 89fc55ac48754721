"""SAME padding against onnxruntime, whose `auto_pad=SAME_UPPER` is TensorFlow's SAME."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from modelatlas.zoo.architectures.same import SameConv2d, SameMaxPool2d, same_padding

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

SIZES = st.tuples(st.integers(1, 12), st.integers(1, 12))


def run_onnx(kind, feeds, **attributes):
    """Run one operator; its first input is the picture, a second one its kernel."""
    inputs = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, array.shape)
        for name, array in feeds.items()
    ]
    output = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    node = onnx.helper.make_node(kind, list(feeds), ["y"], auto_pad="SAME_UPPER", **attributes)
    graph = onnx.helper.make_graph([node], "one", inputs, [output])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


def picture(size, channels, seed):
    return np.random.default_rng(seed).standard_normal((1, channels, *size)).astype(np.float32)


@settings(max_examples=40)
@given(
    size=SIZES,
    kernel=st.integers(1, 7),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    groups=st.booleans(),
)
def test_a_convolution(size, kernel, stride, dilation, groups):
    assume(kernel >= stride)  # onnxruntime gives up on the rest
    if stride > 1:
        dilation = 1  # TensorFlow refuses both
    layer = SameConv2d(2, 2, kernel, stride=stride, dilation=dilation, groups=2 if groups else 1, bias=False)
    x = picture(size, 2, kernel)
    reach = (kernel - 1) * dilation + 1  # onnxruntime pads no dilated kernel, so holes are written out
    spread = np.zeros((*layer.weight.shape[:2], reach, reach), np.float32)
    spread[..., ::dilation, ::dilation] = layer.weight.detach().numpy()
    expected = run_onnx(
        "Conv", {"x": x, "w": spread}, strides=[stride] * 2, group=layer.groups, kernel_shape=[reach] * 2
    )
    np.testing.assert_allclose(layer(torch.from_numpy(x)).detach().numpy(), expected, atol=1e-5)


@settings(max_examples=40)
@given(size=SIZES, kernel=st.integers(1, 5), stride=st.integers(1, 3))
def test_a_max_pool(size, kernel, stride):
    assume(kernel >= stride)
    if stride == 1 and kernel % 2 == 0:
        with pytest.raises(ValueError, match=r"kernel . and stride 1 cannot be padded so"):
            SameMaxPool2d(kernel, stride=stride)
        return
    x = picture(size, 2, kernel) - 5  # below zero: zeros around the picture would win
    expected = run_onnx("MaxPool", {"x": x}, strides=[stride] * 2, kernel_shape=[kernel] * 2)
    np.testing.assert_array_equal(SameMaxPool2d(kernel, stride=stride)(torch.from_numpy(x)).numpy(), expected)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [(224, 3, 2, (0, 1)), (299, 3, 2, (1, 1)), (57, 4, 1, (1, 2)), (64, 4, 2, (1, 1)), (30, 5, 1, (2, 2))],
)
def test_the_paddings_that_the_networks_meet(size, kernel, stride, expected):
    """By hand, from the formula in TensorFlow's notes on padding."""
    assert same_padding(size, kernel=kernel, stride=stride) == expected
