"""`keras:` against Keras itself (forward passes, preprocessing, files) and against torchvision."""

import json
import os
import random
import subprocess
import sys
import zipfile
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from skimage import data

from modelatlas.attribution import attribute, target_layer
from modelatlas.errors import FetchError, InputError, ModelError
from modelatlas.zoo import card, declare_missing_ops, fetch_weights, load
from modelatlas.zoo.keras_models.backend import building, keras_on_torch
from modelatlas.zoo.sources.keras import applications
from zoo.checks import check_source

if find_spec("keras") is None:
    pytest.skip("keras is not installed", allow_module_level=True)
keras = keras_on_torch()
pytestmark = [
    # Keras's variables on torch do not know NumPy 2's copy=
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
]
MOBILENET = "keras:MobileNet?size=32&classes=5"


def images(model, *pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack([model.preprocess.tensor(picture) for picture in pictures]))


def test_the_classifiers_pass_the_shared_checks():
    check_source("keras:MobileNetV2")


def test_a_picture_in_logits_out_are_keras_own(tmp_path):
    """Their `preprocess_input` and forward pass, channels last, on a picture of the network's size."""
    model = load(f"{MOBILENET}&random=4")
    model.module.keras_model.save(tmp_path / "own.keras")
    theirs = keras.saving.load_model(tmp_path / "own.keras")
    picture = data.astronaut()[:32, :32]
    batch = keras.applications.mobilenet.preprocess_input(np.float32(picture[None]))
    expected = theirs.predict(batch, verbose=0)
    with torch.no_grad():
        got = model.module(images(model, picture))
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("ending", [".weights.h5", ".keras", ".h5", ".pt"])
def test_own_checkpoints_of_every_format(tmp_path, ending):
    trained = load(f"{MOBILENET}&random=7")
    path = tmp_path / f"own{ending}"
    if ending == ".pt":
        torch.save(trained.module.state_dict(), path)
    elif ending == ".weights.h5":
        trained.module.keras_model.save_weights(path)
    else:
        trained.module.keras_model.save(path)
    model = load(f"{MOBILENET}&weights={path}")
    assert model.weights_digest == trained.weights_digest
    assert model.card.trained
    with pytest.raises(ModelError, match="does not fit the network"):
        load(f"keras:MobileNet?size=32&classes=6&weights={path}") if ending != ".pt" else load(
            f"keras:MobileNetV2?size=32&classes=5&weights={path}"
        )


def test_vgg_is_torchvisions_with_the_same_weights():
    """A route without Keras: kernels HWIO -> OIHW in torchvision's VGG16; logits and all three maps agree."""
    declare_missing_ops()
    torchvision = pytest.importorskip("torchvision")
    model = load("keras:VGG16?size=32&classes=4&random=1")
    network = torchvision.models.vgg16(init_weights=False)
    network.avgpool = torch.nn.Identity()
    network.classifier = torch.nn.Sequential(
        torch.nn.Linear(512, 4096), torch.nn.ReLU(), torch.nn.Linear(4096, 4096), torch.nn.ReLU(),
        torch.nn.Linear(4096, 4),
    )  # fmt: skip
    ours = [layer for layer in model.module.keras_model.layers if layer.weights]
    theirs = [
        module for module in network.modules() if next(module.parameters(recurse=False), None) is not None
    ]
    for layer, module in zip(ours, theirs, strict=True):
        kernel, bias = (torch.from_numpy(np.array(array)) for array in layer.get_weights())
        kernel = kernel.permute(3, 2, 0, 1) if kernel.dim() == 4 else kernel.T
        module.load_state_dict({"weight": kernel, "bias": bias})
    network.eval()
    pictures = images(model, data.astronaut()[:64, :64], data.chelsea()[:64, :64])
    with torch.no_grad():
        torch.testing.assert_close(model.module(pictures), network(pictures), rtol=1e-4, atol=1e-7)
    chosen = target_layer(model.module, pictures)
    assert chosen.name == "block5_conv3"
    got = attribute(model.module, pictures, layer="block5_conv3")
    expected = attribute(network, pictures, layer="features.29")
    for method, maps in expected.items():
        cosine = torch.nn.functional.cosine_similarity(got[method].flatten(1), maps.flatten(1))
        assert (cosine > 0.999).all(), method  # ReLU signs flip by rounding


@pytest.mark.parametrize("name", sorted({one["family"] for one in applications().values()}))
def test_preprocessing_is_each_familys_own(name):
    model = next(model for model, one in applications().items() if one["family"] == name)
    ours = card(f"keras:{model}").input
    size = applications()[model]["size"]
    picture = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    theirs = getattr(keras.applications, name).preprocess_input(
        np.float32(picture), data_format="channels_last"
    )
    expected = np.asarray(theirs).transpose(2, 0, 1)
    np.testing.assert_allclose(ours.tensor(picture), expected, atol=1e-5 * np.abs(expected).max())


def test_the_modes_are_told_in_the_librarys_own_numbers():
    vgg = card("keras:VGG16").input
    assert (vgg.range, vgg.mean, vgg.std, vgg.channel_order) == (
        (0.0, 255.0), (103.939, 116.779, 123.68), (1.0,) * 3, "BGR",
    )  # fmt: skip
    dense = card("keras:DenseNet121").input
    assert (dense.range, dense.mean, dense.std) == ((0.0, 1.0), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def _asked_of_keras(name: str, monkeypatch) -> dict:
    """What the library itself would download, and what it builds: shapes alone, on torch's meta device."""
    from keras.src.utils import file_utils

    asked = {}

    def get_file(fname, origin=None, *args, file_hash=None, **kwargs):
        asked.update(url=origin, digest=file_hash)
        raise InterruptedError

    monkeypatch.setattr(file_utils, "get_file", get_file)
    make = getattr(keras.applications, name)
    with keras.device("meta"):
        with pytest.raises(InterruptedError):
            make(weights="imagenet")
        network = make(weights=None)
    return asked | {
        "size": network.input_shape[1] or 224,
        "parameters": sum(weight.value.numel() for weight in network.trainable_variables),
    }


@pytest.mark.parametrize(
    "name",
    ["VGG16"] + [pytest.param(name, marks=pytest.mark.slow) for name in sorted(applications())],
)
@pytest.mark.filterwarnings(
    "ignore:`input_shape` is undefined:UserWarning"
)  # MobileNetV3 tells its default size
def test_the_table_is_what_the_library_would_download(name, monkeypatch):
    stated, asked = applications()[name], _asked_of_keras(name, monkeypatch)
    assert (stated["url"], stated["size"], stated["parameters"]) == (
        asked["url"], asked["size"], asked["parameters"],
    )  # fmt: skip
    assert asked["digest"] in (stated.get("md5"), stated.get("sha256"))


def test_published_weights_are_taken_by_hand_and_checked(cache, tmp_path, monkeypatch):
    """The network's own fresh weights stand for the published ones, under the checksum that they have."""
    import hashlib

    trained = load("keras:MobileNetV3Small?random=3")
    trained.module.keras_model.save_weights(tmp_path / "by-hand.weights.h5")
    with pytest.raises(FetchError, match=r"the MD5 of .* is not .*, as keras states; it was removed"):
        fetch_weights("keras:MobileNetV3Small", file=tmp_path / "by-hand.weights.h5")
    content = (tmp_path / "by-hand.weights.h5").read_bytes()
    known = applications()["MobileNetV3Small"]
    changed = known | {
        "md5": hashlib.md5(content).hexdigest(),
        "url": known["url"].replace(".h5", ".weights.h5"),
    }
    monkeypatch.setitem(applications(), "MobileNetV3Small", changed)
    fetch_weights("keras:MobileNetV3Small", file=tmp_path / "by-hand.weights.h5")
    model = load("keras:MobileNetV3Small")
    assert model.weights_digest == trained.weights_digest
    assert model.card.trained


def own_model():
    """Nested, with a sum that is no layer, batch norm and dropout, as people build them."""
    with building():
        torch.manual_seed(0)
        layers = keras.layers
        inner = keras.Sequential(
            [
                layers.Input((16, 16, 8)),
                layers.Conv2D(8, 3, padding="same"),
                layers.BatchNormalization(),
                layers.ReLU(),
            ],
            name="inner",
        )
        x = inputs = keras.layers.Input((32, 32, 3))
        x = keras.layers.Rescaling(1 / 255)(x)
        x = keras.layers.Conv2D(8, 3, strides=2, padding="same", name="stem")(x)
        x = x + inner(x)
        x = keras.layers.Dropout(0.5)(keras.layers.GlobalAveragePooling2D()(x))
        model = keras.Model(inputs, keras.layers.Dense(3)(x))
    for variable in model.non_trainable_variables:
        if variable.path.endswith("moving_variance"):
            variable.assign(variable.value * 0.3)
    model.get_layer("inner").trainable = False
    return model


def test_a_model_of_ones_own(tmp_path):
    own = own_model()
    own.save(tmp_path / "own.keras")
    model = load(f"keras:{tmp_path / 'own.keras'}")
    assert (model.preprocess.height, model.preprocess.range, model.preprocess.std) == (
        32,
        (0.0, 255.0),
        (1.0,) * 3,
    )
    pictures = images(model, data.astronaut(), data.chelsea())
    with torch.no_grad():
        got = model.module(pictures)
    np.testing.assert_allclose(
        got, own.predict(pictures.permute(0, 2, 3, 1).numpy(), verbose=0), rtol=1e-5, atol=1e-6
    )
    names = dict(model.module.named_modules())
    assert {"stem", "inner", "add", "dense"} <= set(names)
    assert target_layer(model.module, pictures).name == "add"
    assert (
        model.card.parameters == 3 * 8 * 9 + 8 + 8 * 8 * 9 + 8 + 16 + 8 * 3 + 3
    )  # frozen ones too, statistics not
    again = load(f"keras:{tmp_path / 'own.keras'}?mean=0.5&size=64x48&layer=inner")
    assert again.weights_digest == model.weights_digest
    assert (again.preprocess.height, again.preprocess.width, again.preprocess.mean) == (64, 48, (0.5,) * 3)


def test_batch_norm_runs_as_in_inference(tmp_path):
    own_model().save(tmp_path / "own.keras")
    model = load(f"keras:{tmp_path / 'own.keras'}")
    pictures = images(model, data.astronaut(), data.chelsea(), data.rocket()[:, :427])
    with torch.no_grad():
        together = model.module(pictures)
        alone = torch.cat([model.module(picture[None]) for picture in pictures])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


def test_grey_models_get_grey_pictures(tmp_path):
    with building():
        own = keras.Sequential(
            [keras.layers.Input((8, 8, 1)), keras.layers.Conv2D(2, 3), keras.layers.Flatten()]
        )
    own.save(tmp_path / "grey.keras")
    model = load(f"keras:{tmp_path / 'grey.keras'}")
    assert model.preprocess.channel_order == "L"
    assert model.module(images(model, data.astronaut())).shape == (1, 72)


def test_a_model_that_brings_code_is_refused_and_not_run(tmp_path):
    trace = tmp_path / "trace"
    file = str(trace)
    with building():
        own = keras.Sequential([
            keras.layers.Input((8, 8, 3)),
            keras.layers.Lambda(lambda x: (open(file, "w").close(), x)[1], output_shape=(8, 8, 3)),  # noqa: PTH123
        ])  # fmt: skip
    own.save(tmp_path / "lambda.keras")
    trace.unlink(missing_ok=True)
    with pytest.raises(ModelError, match="keras cannot load"):
        load(f"keras:{tmp_path / 'lambda.keras'}")
    assert not trace.exists()
    with zipfile.ZipFile(tmp_path / "evil.keras", "w") as archive:
        config = {
            "module": "os",
            "class_name": "mkdir",
            "config": {"path": str(trace)},
            "registered_name": None,
        }
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", '{"keras_version": "3.0.0"}')
        archive.writestr("model.weights.h5", b"")
    with pytest.raises(ModelError, match="keras cannot load"):
        load(f"keras:{tmp_path / 'evil.keras'}")
    assert not trace.exists()


@pytest.mark.parametrize("name", ["own.keras", "own.h5", "own.weights.h5"])
def test_damaged_files_are_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(50))
    with pytest.raises(ModelError, match=f"{name} does not fit the network, or is no file of Keras weights"):
        load(f"{MOBILENET}&weights={tmp_path / name}")
    with pytest.raises(ModelError, match="keras cannot load"):
        load(f"keras:{tmp_path / name}")
    with pytest.raises(InputError, match="there is no weights file"):
        load(f"{MOBILENET}&weights={tmp_path / ('no' + name)}")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("keras:ResNet51", "no 'ResNet51' that runs on torch; did you mean ResNet"),
        ("keras:resnet50", "did you mean ResNet50"),
        ("keras:NASNetMobile", "no 'NASNetMobile' that runs on torch"),
        ("keras:zzzz", "`modelatlas zoo list keras:` lists its names"),
        ("keras:absent.keras", "there is no file absent.keras"),
        ("keras:ResNet50?classes=none", "classes=none is no number of classes"),
        ("keras:ResNet50?classes=5", "the published weights have 1000 classes"),
    ],
)
def test_what_cannot_be_meant_is_said(spec, message):
    with pytest.raises(InputError, match=message):
        load(spec)


def test_nothing_global_is_left_changed():
    one = keras.layers.Dense(2).name
    before = random.getstate(), keras.config.image_data_format(), os.environ.get("KERAS_BACKEND")
    load(f"{MOBILENET}&random=1")
    assert before == (random.getstate(), keras.config.image_data_format(), os.environ.get("KERAS_BACKEND"))
    other = keras.layers.Dense(2).name
    assert int(other.rpartition("_")[2]) - int(one.rpartition("_")[2] if "_" in one else 0) == 1


def fresh_interpreter(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_environments_own_choice_of_a_backend_is_left_alone():
    code = (
        "import os\nfrom modelatlas.zoo import card\n"
        "print(card('keras:VGG16').input.channel_order, os.environ['KERAS_BACKEND'])"
    )
    assert fresh_interpreter(code, KERAS_BACKEND="tensorflow") == "BGR tensorflow"


def test_keras_on_another_backend_is_noticed(tmp_path):
    """Its other backends are not installed here: a package of that name that says so stands for one."""
    (tmp_path / "keras.py").write_text("class backend:\n    backend = staticmethod(lambda: 'tensorflow')\n")
    code = (
        "import keras\nfrom modelatlas.errors import InputError\nfrom modelatlas.zoo import card\n"
        "try:\n    card('keras:VGG16')\nexcept InputError as error:\n    print(error)"
    )
    told = fresh_interpreter(code, PYTHONPATH=str(tmp_path))
    assert told.startswith(
        "keras came with its backend 'tensorflow' before ModelAtlas needed it, and keeps it"
    )
    assert "set KERAS_BACKEND=torch" in told
