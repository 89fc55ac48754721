"""`taskonomy:` and `slim:` as sources: cards, inputs, networks; the paper's table 1."""

import numpy as np
import pytest
import torch

from modelatlas.errors import InputError, ModelError
from modelatlas.zoo import ModelSpec, card, load, read_zoo, source_for
from zoo.checks import check_source

# rows of table 1 of the supplement: input size and the fact that nothing was pretrained
SLIM = {
    "inception_v3": 299, "inception_resnet_v2": 299, "vgg_16": 224, "vgg_19": 224, "resnet_v1_50": 224,
    "resnet_v1_101": 224, "resnet_v1_152": 224, "mobilenet_v1_100_224": 224, "mobilenet_v1_050_160": 160,
    "mobilenet_v1_025_128": 128,
}  # fmt: skip
LOW_SATURATION = (  # the authors' list, run_img_task.py
    "autoencoder", "curvature", "denoise", "edge2d", "edge3d", "keypoint2d", "keypoint3d", "reshade",
    "rgb2depth", "rgb2mist", "rgb2sfnorm", "segment25d", "segment2d", "room_layout",
)  # fmt: skip
PICTURE = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["slim:mobilenet_v1_025_128", "taskonomy:colorization"])
def test_the_sources_pass_the_shared_checks(name):
    check_source(name)


def test_twenty_and_ten_models():
    taskonomy = source_for(ModelSpec.parse("taskonomy:x")).names()
    assert len(taskonomy) == 20
    assert set(LOW_SATURATION) <= set(taskonomy)
    assert set(source_for(ModelSpec.parse("slim:x")).names()) == set(SLIM)
    zoo = read_zoo("taskonomy")
    assert sorted(entry.spec.name for entry in zoo.entries) == list(taskonomy)
    groups = {card(entry.spec).group for entry in zoo.entries}
    assert groups == {"2D", "3D", "geometric", "semantic"}
    assert all(card(entry.spec).task == entry.spec.name for entry in zoo.entries)


@pytest.mark.parametrize("name", SLIM)
def test_a_slim_card_is_its_row_of_table_1(name):
    known = card(f"slim:{name}")
    assert (known.input.height, known.input.width) == (SLIM[name], SLIM[name])
    assert (known.task, known.training_data, known.pretrained_encoder) == (
        "classification",
        "ILSVRC2012",
        "none",
    )
    assert known.weights[0].url.startswith("https://")


@pytest.mark.parametrize(
    "spec", [*(f"slim:{name}" for name in SLIM), "taskonomy:rgb2depth", "taskonomy:colorization"]
)
def test_a_card_tells_parameters_and_layer_of_its_network(spec):
    """On the meta device: shapes without numbers, however large the network."""
    port = source_for(ModelSpec.parse(spec)).ports[ModelSpec.parse(spec).name]
    with torch.device("meta"):
        network = port.build().eval()
        shapes = {}
        network.get_submodule(port.card.layer).register_forward_hook(
            lambda _, __, output: shapes.update(layer=tuple(output.shape[1:]))
        )
        pixels = port.card.input
        network(torch.zeros(2, pixels.channels, pixels.height, pixels.width))
    assert sum(parameter.numel() for parameter in network.parameters()) == port.card.parameters
    assert shapes["layer"] == port.card.layer_shape


def test_the_checkpoints_of_taskonomy_state_their_checksums():
    """Names of the files as the package visualpriors 0.3.5 (same authors) lists them."""
    known = card("taskonomy:rgb2sfnorm")
    digest = "f5e2c7737e4948e3b2a822f584892c342eaabbe66661576ba50db7cdd40561c5"
    assert known.weights[0].url.endswith(f"/normal_encoder-{digest}.pth")
    assert known.weights[0].sha256 == digest
    assert known.weights[1].url.endswith("/rgb2sfnorm/model.permanent-ckpt.index")
    assert card("taskonomy:rgb2sfnorm?origin=tensorflow").weights == known.weights[::-1]
    digests = {card(entry.spec).weights[0].sha256 for entry in read_zoo("taskonomy").entries}
    assert len(digests) == 20


def test_inputs_of_low_saturation_are_clipped():
    for task in source_for(ModelSpec.parse("taskonomy:x")).names():
        made = card(f"taskonomy:{task}").input.tensor(PICTURE)
        limit = 0.8 if task in LOW_SATURATION else 1.0
        assert made.shape[1:] == (256, 256)
        assert np.abs(made).max() == pytest.approx(limit, abs=1e-6) or task == "colorization"


def test_the_input_of_colorization_is_cie_lightness():
    """As scikit-image's rgb2lab has it (the authors' code calls it), to rounding in float32."""
    color = pytest.importorskip("skimage.color")
    made = card("taskonomy:colorization").input.tensor(PICTURE)
    expected = color.rgb2lab(PICTURE)[..., 0] / 50 - 1
    np.testing.assert_allclose(made[0], expected, atol=1e-5)


def test_the_input_of_inpainting_has_its_hole():
    """Rows and columns 64 to 191, as the authors' load_ops says."""
    made = card("taskonomy:inpainting_whole").input.tensor(PICTURE)
    plain = card("taskonomy:class_1000").input.tensor(PICTURE)
    assert (made[:, 64:192, 64:192] == 0).all()
    plain[:, 64:192, 64:192] = 0
    np.testing.assert_array_equal(made, plain)


def test_vgg_takes_the_mean_colour_off():
    made = card("slim:vgg_16").input.tensor(np.full((224, 224, 3), (10, 20, 30), dtype=np.uint8))
    np.testing.assert_allclose(made[:, 0, 0], [10 - 123.68, 20 - 116.78, 30 - 103.94], rtol=1e-6)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("taskonomy:rgb2dept", "did you mean taskonomy:rgb2depth"),
        ("slim:zzzz", "known are inception_resnet_v2"),
        ("slim:vgg_16?origin=2018", "origin=2018 is not one of 2016"),
    ],
)
def test_unknown_names_are_told(spec, message):
    with pytest.raises(InputError, match=message):
        card(spec)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    torch.save(load("slim:mobilenet_v1_025_128?random=0").module.state_dict(), tmp_path / "small.pth")
    again = load(f"slim:mobilenet_v1_025_128?weights={tmp_path / 'small.pth'}")
    assert again.card.weights[0].format is None  # whatever it is found to be
    assert again.weights_digest == load("slim:mobilenet_v1_025_128?random=0").weights_digest
    with pytest.raises(
        ModelError, match=r"Conv2d_0\.conv\.weight is 8 x 3 x 3 x 3 for 16 x 3 x 3 x 3, Conv2d_0\.norm"
    ):
        load(f"slim:mobilenet_v1_050_160?weights={tmp_path / 'small.pth'}")
    with pytest.raises(ModelError, match="is not its checkpoint"):
        load(f"taskonomy:edge2d?weights={tmp_path / 'small.pth'}")
