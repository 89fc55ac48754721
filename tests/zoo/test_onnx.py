"""`onnx:` on networks that torch exports: outputs are onnxruntime's, maps the exported network's own."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from modelatlas.attribution import attribute, target_layer
from modelatlas.errors import InputError, ModelError
from modelatlas.zoo import card, declare_missing_ops, load, read_zoo
from zoo.checks import check_source

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
declare_missing_ops()
timm = pytest.importorskip("timm")


def made(name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return timm.create_model(name).eval()


def export(
    network: nn.Module, path: Path, *, size: int = 96, opset: int = 17, batch: str | None = "n"
) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's advice on its exporters and on tracing
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, size, size),),
            path,
            dynamo=False,
            opset_version=opset,
            input_names=["images"],
            output_names=["made"],
            dynamic_axes={"images": {0: batch}} if batch else None,
        )
    return path


def of_onnxruntime(path: Path, images: torch.Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.concatenate(
        [session.run(None, {session.get_inputs()[0].name: image[None].numpy()})[0] for image in images]
    )


def small() -> nn.Module:
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(3, 8, 3, stride=2),
        nn.BatchNorm2d(8),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ]
    return nn.Sequential(*layers, nn.Linear(8, 5)).eval()


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return export(small(), tmp_path_factory.mktemp("onnx") / "small.onnx")


def test_a_file_passes_the_shared_checks(file):
    check_source(f"onnx:{file}", trained=True)


@pytest.mark.parametrize(
    ("name", "size", "opset", "batch", "layer"),
    [
        ("test_resnet", 96, 17, "n", "layer4"),
        ("test_vit", 160, 17, "n", "blocks"),
        ("test_vit", 160, 14, None, "blocks"),  # one image, layer norm and GELU taken apart
        ("test_convnext", 96, 14, None, "stages"),
        ("test_efficientnet", 96, 17, "n", "bn2"),
        ("test_nfnet", 96, 17, "n", "final_act"),
        ("mobilenetv3_small_050", 96, 17, "n", "blocks"),
        pytest.param("swin_tiny_patch4_window7_224", 224, 17, "n", "layers", marks=pytest.mark.slow),
        pytest.param("mobilevit_xxs", 256, 17, "n", "final_conv", marks=pytest.mark.slow),
        pytest.param("coatnet_nano_rw_224", 224, 17, "n", "stages", marks=pytest.mark.slow),
    ],
)
def test_exported_networks_are_onnxruntimes_and_give_their_own_maps(
    tmp_path, name, size, opset, batch, layer
):
    network = made(name)
    path = export(network, tmp_path / "m.onnx", size=size, opset=opset, batch=batch)
    model = load(f"onnx:{path}?size={size}")
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    expected = of_onnxruntime(path, images)
    with torch.no_grad():
        got = model.module(images).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())
    ours, theirs = target_layer(model.module, images), target_layer(network, images)
    assert theirs.name == layer
    assert sorted(ours.shape) == sorted(theirs.shape)
    maps, own = attribute(model.module, images, layer=ours.name), attribute(network, images, layer=layer)
    for method in own:
        cosine = torch.nn.functional.cosine_similarity(maps[method].flatten(1), own[method].flatten(1))
        assert (cosine > 0.999).all(), method


@pytest.mark.slow
@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext"])
def test_what_torchs_newer_exporter_makes(tmp_path, name):
    pytest.importorskip("onnxscript")
    network, images = made(name), torch.randn(2, 3, 160, 160)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of its exporter's parts
        program = torch.onnx.export(
            network, (images,), dynamo=True, dynamic_shapes=({0: torch.export.Dim("n")},), verbose=False
        )
        program.save(tmp_path / "m.onnx")
    with torch.no_grad():
        got = load(f"onnx:{tmp_path / 'm.onnx'}?size=160").module(images).numpy()
    np.testing.assert_allclose(got, of_onnxruntime(tmp_path / "m.onnx", images), rtol=1e-3, atol=1e-5)


def test_what_the_file_expects_is_read_and_can_be_said(file):
    known = load(f"onnx:{file}").preprocess
    assert (known.height, known.width, known.channel_order) == (96, 96, "RGB")
    stated = load(f"onnx:{file}?mean=0.5&std=0.25&range=0/255&order=BGR").preprocess
    assert (stated.mean, stated.std, stated.range, stated.channel_order) == (
        (0.5,) * 3,
        (0.25,) * 3,
        (0.0, 255.0),
        "BGR",
    )
    (weights,) = card(f"onnx:{file}").weights
    assert (weights.url, weights.bytes) == (str(file), file.stat().st_size)


def test_weights_beside_the_file_are_read_and_told(file, tmp_path):
    proto = onnx.load(str(file))
    onnx.save(
        proto, tmp_path / "m.onnx", save_as_external_data=True, location="m.onnx.data", size_threshold=0
    )
    spec = f"onnx:{tmp_path / 'm.onnx'}"
    assert load(spec).weights_digest == load(f"onnx:{file}").weights_digest
    assert [Path(weights.url).name for weights in card(spec).weights] == ["m.onnx", "m.onnx.data"]


def rewrite(file: Path, path: Path, change) -> Path:
    proto = onnx.load(str(file))
    change(proto.graph)
    onnx.save(proto, str(path))
    return path


def transposed(graph) -> None:
    """The same network with channels last."""
    graph.node.insert(0, onnx.helper.make_node("Transpose", ["pictures"], ["images"], perm=[0, 3, 1, 2]))
    shape = onnx.helper.make_tensor_value_info("pictures", onnx.TensorProto.FLOAT, ["n", 96, 96, 3])
    graph.input[0].CopyFrom(shape)


def test_channels_last(file, tmp_path):
    path = rewrite(file, tmp_path / "last.onnx", transposed)
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        got, expected = load(f"onnx:{path}").module(images), load(f"onnx:{file}").module(images)
    torch.testing.assert_close(got, expected)


def with_decoding(graph) -> None:
    graph.node.append(onnx.helper.make_node("TopK", ["made", "k"], ["best", "places"]))
    graph.initializer.append(onnx.numpy_helper.from_array(np.asarray([2]), "k"))
    graph.output[0].name = "best"


def test_an_operator_that_is_not_known_is_named_and_can_be_cut_off(file, tmp_path):
    path = rewrite(file, tmp_path / "m.onnx", with_decoding)
    with pytest.raises(ModelError, match=r"has ONNX operators that are not known here: TopK\. .*output=NAME"):
        load(f"onnx:{path}")
    images = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(
            load(f"onnx:{path}?output=made").module(images), load(f"onnx:{file}").module(images)
        )
    with pytest.raises(ModelError, match="has no tensor 'nothing'"):
        load(f"onnx:{path}?output=nothing")


class Mixed(nn.Module):
    """A network whose shape for one image does not split into several."""

    def forward(self, images):
        return images.reshape(4, -1).mean(dim=1).reshape(1, 4)


def test_a_graph_for_one_image_alone_is_refused(tmp_path):
    path = export(Mixed(), tmp_path / "one.onnx", batch=None)
    with pytest.raises(ModelError, match="takes one image at a time only; export it again"):
        load(f"onnx:{path}")


def with_another_input(graph) -> None:
    graph.input.append(onnx.helper.make_tensor_value_info("scale", onnx.TensorProto.FLOAT, [1]))
    graph.node.append(onnx.helper.make_node("Mul", ["made", "scale"], ["scaled"]))
    graph.output[0].name = "scaled"


def test_a_graph_of_two_inputs_names_them(file, tmp_path):
    path = rewrite(file, tmp_path / "m.onnx", with_another_input)
    with pytest.raises(
        InputError, match=r"the graph has 2 inputs \(images, scale\), and only networks of one"
    ):
        load(f"onnx:{path}")
    cut = load(f"onnx:{path}?output=made")  # before the other one is read
    assert cut.weights_digest == load(f"onnx:{file}").weights_digest

    def swapped(graph):
        with_another_input(graph)
        first, second = graph.input
        both = [onnx.ValueInfoProto.FromString(one.SerializeToString()) for one in (second, first)]
        del graph.input[:]
        graph.input.extend(both)

    with pytest.raises(InputError, match=r"its input 'scale' \(others: images\) is \[1\], not a batch"):
        load(f"onnx:{rewrite(file, tmp_path / 'n.onnx', swapped)}")


@pytest.mark.parametrize("shape", [["n", 5, 96, 96], ["n", 3, 96], [3, 96, 96]])
def test_an_input_that_is_no_image(file, tmp_path, shape):
    def change(graph):
        graph.input[0].CopyFrom(onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, shape))

    with pytest.raises(InputError, match="not a batch of RGB or grey images"):
        load(f"onnx:{rewrite(file, tmp_path / 'm.onnx', change)}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("size=64", "the file takes images of 96 x 96, and size= says 64 x 64"),
        ("order=L", "the file takes 3 channels, and order=L has others"),
        ("classes=3", "unknown key 'classes'"),
    ],
)
def test_what_the_file_contradicts(file, options, message):
    with pytest.raises(InputError, match=message):
        load(f"onnx:{file}?{options}")


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        load(f"onnx:{tmp_path / 'absent.onnx'}")
    (tmp_path / "m.onnx").write_bytes(b"\xff" * 50)
    with pytest.raises(ModelError, match="no readable ONNX file"):
        load(f"onnx:{tmp_path / 'm.onnx'}")


def test_a_relative_path_in_a_zoo_file_starts_from_there(file, tmp_path):
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "small.onnx").write_bytes(file.read_bytes())
    (tmp_path / "nets" / "zoo.toml").write_text('[[model]]\nspec = "onnx:small.onnx"\n')
    (entry,) = read_zoo(tmp_path / "nets" / "zoo.toml").entries
    assert load(entry.spec).weights_digest == load(f"onnx:{file}").weights_digest


def test_own_weights_for_the_files_architecture(file, tmp_path):
    other = load(f"onnx:{file}?random=9")
    torch.save(other.module.state_dict(), tmp_path / "w.pt")
    assert load(f"onnx:{file}?weights={tmp_path / 'w.pt'}").weights_digest == other.weights_digest
