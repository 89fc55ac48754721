"""`hf:` against the transformers library: its own forward passes, its own image processors, its own client.

The hub is one on the loopback interface; that it speaks as the real one does is told by the hub's client.
"""

import hashlib
import json
import pickle
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from skimage import data

from modelatlas.attribution import target_layer
from modelatlas.errors import FetchError, InputError, ModelError
from modelatlas.zoo import architecture, card, declare_missing_ops, fetch_weights, load
from zoo.checks import check_source
from zoo.hub_server import Hub, own_network, running

declare_missing_ops()
transformers = pytest.importorskip("transformers")
pytest.importorskip("torchvision")

OVER_HTTP = pytest.mark.filterwarnings(
    "ignore:.* is fetched over http:UserWarning"
)  # the test's server has no TLS
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": 32,
    "patch_size": 8,
}


def saved(network, folder: Path, *, processor=None, **options) -> Path:
    network.save_pretrained(folder, **options)
    if processor is not None:
        processor.save_pretrained(folder)
    return folder


def made(kind: str, config, *, seed: int = 0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return getattr(transformers, kind)(config).eval()


@pytest.fixture(scope="module")
def vit(tmp_path_factory) -> Path:
    network = made("ViTForImageClassification", transformers.ViTConfig(num_labels=5, **SMALL), seed=42)
    processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=[0.4, 0.5, 0.6])
    return saved(network, tmp_path_factory.mktemp("vit"), processor=processor)


@pytest.fixture
def hub(vit, cache, monkeypatch, tmp_path):
    """A hub with one repository, empty caches, and no way to another hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "client"))
    with running(Hub("someone/tiny-vit")) as serving:
        serving.serve(vit)
        monkeypatch.setenv("HF_ENDPOINT", serving.url)
        yield serving


def test_a_folder_passes_the_shared_checks(vit):
    check_source(f"hf:{vit}", trained=True)


def test_a_model_type_passes_the_shared_checks():
    check_source("hf:pvt_v2")


def test_pixels_in_logits_out_are_the_librarys(vit):
    model = load(f"hf:{vit}")
    picture = data.astronaut()
    processor = transformers.AutoImageProcessor.from_pretrained(vit)
    theirs = transformers.AutoModelForImageClassification.from_pretrained(vit).eval()
    pixels = processor(images=picture[:32, :32], return_tensors="pt")["pixel_values"]  # no resizing
    ours = torch.from_numpy(model.preprocess.tensor(picture[:32, :32]))[None]
    torch.testing.assert_close(ours, pixels, rtol=0, atol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(model.module(pixels), theirs(pixels).logits, rtol=0, atol=0)
    assert model.card.task == "classification"
    assert model.card.parameters == theirs.num_parameters()
    assert model.card.weights[0].format == "safetensors"


@pytest.mark.parametrize(
    ("processor", "settings", "size", "order"),
    [
        ("ViTImageProcessor", {}, (224, 224), "RGB"),
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 224}, "crop_pct": 0.9}, (224, 224), "RGB"),
        ("CLIPImageProcessor", {}, (224, 224), "RGB"),
        ("CLIPImageProcessor", {"size": {"shortest_edge": 256}, "crop_size": 192}, (192, 192), "RGB"),
        ("MobileViTImageProcessor", {}, (256, 256), "BGR"),
        ("SegformerImageProcessor", {"size": {"height": 96, "width": 128}}, (96, 128), "RGB"),
        ("ViTImageProcessor", {"do_normalize": False}, (224, 224), "RGB"),
        ("ViTImageProcessor", {"do_rescale": False, "image_mean": [99.0, 1.5, 7.0]}, (224, 224), "RGB"),
        ("VivitImageProcessor", None, None, None),  # of videos
    ],
)
def test_preprocessing_is_the_image_processors_own(vit, tmp_path, processor, settings, size, order):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((vit / name).read_bytes())
    theirs = getattr(transformers, processor)(**(settings or {}))
    theirs.save_pretrained(tmp_path)
    if size is None:
        with pytest.raises((InputError, ModelError)):
            load(f"hf:{tmp_path}")
        return
    ours = load(f"hf:{tmp_path}").preprocess
    assert (ours.height, ours.width, ours.channel_order) == (*size, order)
    for colour in ((10, 120, 250), (200, 3, 77)):
        picture = np.full((300, 300, 3), colour, dtype=np.uint8)
        made = theirs(images=Image.fromarray(picture), return_tensors="np")["pixel_values"][0]
        got = ours.tensor(picture)
        scale = np.abs(made).max()
        np.testing.assert_allclose(got[:, 60, 60], made[:, 60, 60], atol=2e-6 * scale)


def test_a_folder_without_image_processor_takes_the_librarys_default_at_its_size(vit, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((vit / name).read_bytes())
    ours = load(f"hf:{tmp_path}").preprocess
    assert (ours.height, ours.width, ours.mean) == (32, 32, (0.5, 0.5, 0.5))
    stated = load(f"hf:{tmp_path}?mean=0.1/0.2/0.3&order=BGR&range=0/255").preprocess
    assert (stated.height, stated.mean, stated.channel_order) == (32, (0.1, 0.2, 0.3), "BGR")
    assert stated.range == (0.0, 255.0)


def test_where_image_and_text_meet_the_image_tower_is_taken(tmp_path):
    text = {key: SMALL[key] for key in ("hidden_size", "num_hidden_layers", "num_attention_heads")}
    clip = made("CLIPModel", transformers.CLIPConfig(vision_config=SMALL, text_config=text))
    saved(clip, tmp_path)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = clip.vision_model(pixel_values=images).last_hidden_state
        torch.testing.assert_close(load(f"hf:{tmp_path}").module(images), expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("kind", "config", "layer"),
    [
        ("ViTForImageClassification", transformers.ViTConfig(**SMALL), "model.vit.layers.1"),
        (
            "ResNetForImageClassification",
            transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1]),
            "model.resnet",
        ),
        (
            "SwinForImageClassification",
            transformers.SwinConfig(
                image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4
            ),
            "model.swin.encoder",
        ),
    ],
)  # fmt: skip
def test_the_target_layer_is_the_last_with_extent_before_the_final_norm(tmp_path, kind, config, layer):
    """Compared with the library's own hidden states: the sum over the chosen layer is theirs."""
    network = made(kind, config)
    model = load(f"hf:{saved(network, tmp_path)}")
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    chosen = target_layer(model.module, images)
    assert chosen.name == layer
    outputs = []
    model.module.get_submodule(chosen.name).register_forward_hook(lambda *call: outputs.append(call[2]))
    model.module(images)
    got = outputs[0] if isinstance(outputs[0], torch.Tensor) else outputs[0][0]
    with torch.no_grad():
        expected = network(images, output_hidden_states=True).hidden_states[-1]
    torch.testing.assert_close(got.detach().reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)


def of_the_hubs_client(hub: Hub, folder: Path) -> Path:
    """The repository as the hub's own client keeps it."""
    from huggingface_hub import hf_hub_download

    paths = [
        Path(hf_hub_download(hub.repository, name, endpoint=hub.url, cache_dir=folder)) for name in hub.files
    ]
    return paths[0].parent


def test_our_hub_speaks_as_the_hubs_own_client_expects(hub, vit, tmp_path):
    from huggingface_hub import HfApi

    folder = of_the_hubs_client(hub, tmp_path / "theirs")
    for path in vit.iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()
    assert folder.name == hub.commit
    hub.asked.clear()
    told = HfApi(endpoint=hub.url).model_info(hub.repository, revision="main", files_metadata=True)
    assert hub.asked == ["GET /api/models/someone/tiny-vit/revision/main"]
    weights = next(file for file in told.siblings if file.rfilename == "model.safetensors")
    assert weights.lfs.sha256 == hashlib.sha256(hub.files["model.safetensors"]).hexdigest()
    assert told.card_data.license == "mit"


def test_a_repository_is_downloaded_over_http_only_with_a_warning(hub):
    with pytest.warns(UserWarning, match="is fetched over http"):
        load("hf:someone/tiny-vit")


@OVER_HTTP
def test_a_repository_is_downloaded_once_and_stays_at_its_commit(hub, vit, cache):
    unknown = card("hf:someone/tiny-vit")
    assert (unknown.weights, unknown.task) == ((), None)
    assert hub.asked == []  # a card asks nobody
    model = load("hf:someone/tiny-vit")
    assert model.weights_digest == load(f"hf:{vit}").weights_digest
    assert model.preprocess == load(f"hf:{vit}").preprocess
    known = card("hf:someone/tiny-vit")
    assert (known.licence, known.task) == ("mit", "classification")
    (file,) = known.weights
    assert file.url == f"{hub.url}/someone/tiny-vit/resolve/{hub.commit}/model.safetensors"
    assert len(file.sha256) == 64
    before, commit = list(hub.asked), hub.commit
    hub.files["README.md"] = b"a new commit"
    assert hub.commit != commit
    assert load("hf:someone/tiny-vit").weights_digest == model.weights_digest
    assert hub.asked == before  # nothing is asked again: also without network
    (path,) = fetch_weights("hf:someone/tiny-vit")
    assert path == cache / "weights" / "hf-someone--tiny-vit" / commit


@OVER_HTTP
def test_a_revision_is_pinned(hub):
    commit = hub.commit
    load(f"hf:someone/tiny-vit?revision={commit}")
    assert f"GET /api/models/someone/tiny-vit/revision/{commit}" in hub.asked
    with pytest.raises(FetchError, match=r"'someone/tiny-vit' at 'absent'.* 404"):
        load("hf:someone/tiny-vit?revision=absent")
    for wrong in ("../x", "a b", "-x"):
        with pytest.raises(InputError, match="is no branch, tag or commit"):
            load(f"hf:someone/tiny-vit?revision={wrong}")


@OVER_HTTP
def test_progress_is_told_over_all_files(hub):
    told = []
    fetch_weights("hf:someone/tiny-vit", progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (len(hub.files["model.safetensors"]),) * 2


@OVER_HTTP
def test_weights_in_shards(hub, vit, tmp_path):
    saved(
        transformers.AutoModelForImageClassification.from_pretrained(vit),
        tmp_path / "shards",
        max_shard_size="40KB",
    )
    hub.serve(tmp_path / "shards")
    assert sum(name.endswith(".safetensors") for name in hub.files) > 1
    assert load("hf:someone/tiny-vit").weights_digest == load(f"hf:{vit}").weights_digest


@OVER_HTTP
def test_what_goes_wrong_on_the_way_is_named_and_leaves_the_cache_valid(hub, vit):
    weights = f"/someone/tiny-vit/resolve/{hub.commit}/model.safetensors"
    api = "/api/models/someone/tiny-vit/revision/main"
    page = (200, "text/html", b"<html>log in</html>")
    refused = (401, "application/json", b"{}")
    for path, answer, message in (
        (api, refused, r"private, or gated\?\).*401.*name its folder"),
        (api, page, "web page"),
        (api, (200, "application/json", b'{"sha": "short", "siblings": []}'), "did not answer as a hub does"),
        (api, (200, "application/json", b"["), "did not answer as a hub does"),
        (weights, page, "web page"),
        (weights, (403, "application/json", b"{}"), "403"),
        (weights, (200, "application/octet-stream", hub.files["model.safetensors"][:-1] + b"x"), "SHA-256"),
        (weights, (200, "application/octet-stream", hub.files["model.safetensors"] + b"x"), "larger than"),
    ):
        hub.answers = {path: answer}
        with pytest.raises(FetchError, match=message):
            load("hf:someone/tiny-vit")
    hub.answers = {}
    assert load("hf:someone/tiny-vit").weights_digest == load(f"hf:{vit}").weights_digest


@OVER_HTTP
def test_the_files_are_limited_in_size(hub, monkeypatch):
    monkeypatch.setattr("modelatlas.zoo.hub.repository._MAX_WEIGHTS", 50_000)
    with pytest.raises(FetchError, match="more than the limit of 50000"):
        load("hf:someone/tiny-vit")
    assert not any("safetensors" in asked for asked in hub.asked)


@OVER_HTTP
def test_a_repository_without_weights_of_torch(hub):
    hub.files = {"config.json": hub.files["config.json"], "tf_model.h5": b"..."}
    with pytest.raises(InputError, match=r"neither model\.safetensors nor pytorch_model\.bin"):
        load("hf:someone/tiny-vit")
    assert not load("hf:someone/tiny-vit?random=0").card.trained
    hub.files = {"weights.bin": b""}
    with pytest.raises(InputError, match=r"no config\.json"):
        load("hf:someone/tiny-vit?revision=v1")


def test_what_the_hubs_client_has_is_taken_from_there(hub, vit, tmp_path, monkeypatch):
    of_the_hubs_client(hub, tmp_path / "client")
    hub.asked.clear()
    assert load("hf:someone/tiny-vit").weights_digest == load(f"hf:{vit}").weights_digest
    assert hub.asked == []


@OVER_HTTP
def test_code_of_a_repository_runs_only_when_trusted(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    trace = tmp_path / "trace"
    ran = f"Path({str(trace)!r}).write_text('it ran')"
    conv = own_network(tmp_path / "own", forward="return (self.conv(pixel_values),)", outside=ran)
    hub.serve(tmp_path / "own")
    for call in (load, architecture):
        with pytest.raises(InputError, match=r"brings code of its own; add --trust-code .* Nothing was run"):
            call("hf:someone/tiny-vit")
    assert not trace.exists()
    model = load("hf:someone/tiny-vit", trust_code=True)
    images = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(model.module(images), conv(images))
    assert trace.exists()


def test_a_folder_that_names_code_for_a_known_type_needs_none(vit, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((vit / name).read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["auto_map"] = {"AutoModelForImageClassification": "own.OwnNet"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load(f"hf:{tmp_path}").weights_digest == load(f"hf:{vit}").weights_digest


@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
def test_a_pickle_with_code_is_refused_and_not_run(vit, tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "trace",)

    (tmp_path / "config.json").write_bytes((vit / "config.json").read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"vit": Evil()}))
    with pytest.raises(ModelError, match=r"a file of its weights wants to run code") as caught:
        load(f"hf:{tmp_path}")
    assert not (tmp_path / "trace").exists()
    assert "weights_only" not in str(caught.value)
    torch.save(
        made("ViTForImageClassification", transformers.ViTConfig(**SMALL)), tmp_path / "pytorch_model.bin"
    )
    with pytest.raises(ModelError, match=r"more than arrays and plain values \(transformers\.models\.vit\."):
        load(f"hf:{tmp_path}")


def test_weights_that_would_be_left_random_are_an_error(vit, tmp_path):
    (tmp_path / "config.json").write_bytes((vit / "config.json").read_bytes())
    state = load_file(vit / "model.safetensors")
    headless = {name: tensor for name, tensor in state.items() if "classifier" not in name}
    save_file(headless, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lack 2 of the network's \(first: 'classifier.bias'\)"):
        load(f"hf:{tmp_path}")


def test_an_own_checkpoint_fits_with_and_without_the_wrappers_name(vit, tmp_path):
    state = load_file(vit / "model.safetensors")
    save_file(state, tmp_path / "plain.safetensors")
    torch.save(
        {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, tmp_path / "w.pt"
    )
    expected = load(f"hf:{vit}").weights_digest
    save_file(load(f"hf:{vit}").module.state_dict(), tmp_path / "ours.safetensors")
    for name in ("plain.safetensors", "w.pt", "ours.safetensors"):
        assert load(f"hf:{vit}?weights={tmp_path / name}").weights_digest == expected
    seven = made("ViTForImageClassification", transformers.ViTConfig(num_labels=7, **SMALL))
    saved(seven, tmp_path / "seven")
    own = load(f"hf:{vit}?weights={tmp_path / 'seven' / 'model.safetensors'}")
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(own.module(images), seven(images).logits, rtol=0, atol=0)
    save_file(dict(list(state.items())[1:]), tmp_path / "part.safetensors")
    with pytest.raises(ModelError, match="1 names missing"):
        load(f"hf:{vit}?weights={tmp_path / 'part.safetensors'}")
    save_file(state | {"more": torch.zeros(1)}, tmp_path / "more.safetensors")
    with pytest.raises(ModelError, match=r"1 names unknown \(first: 'model.more'\)"):
        load(f"hf:{vit}?weights={tmp_path / 'more.safetensors'}")


def test_what_takes_no_pixels_is_refused(tmp_path):
    bert = transformers.BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    saved(made("BertModel", bert), tmp_path)
    with pytest.raises(InputError, match="BertModel takes no pixels alone"):
        load(f"hf:{tmp_path}")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hf:vit", r"a model type has no weights; .*add \?random=0"),
        ("hf:vti?random=0", "no model type 'vti'; did you mean .*vit"),
        ("hf:./absent", "is no folder with a config.json"),
        ("hf:a/b/c", "no name of a hub repository"),
        ("hf:vit?size=big", "size=big is no number of pixels"),
        ("hf:vit?mean=1/2", "mean=1/2 must be 1 or 3 numbers"),
    ],
)
def test_what_cannot_be_meant_is_said(spec, message, cache):
    with pytest.raises(InputError, match=message):
        load(spec)


def test_without_network_a_repository_says_what_to_do(cache, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv("HF_ENDPOINT", raising=False)

    def refuse(*args, **kwargs):
        raise ConnectionRefusedError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(
        FetchError, match=r"cannot reach huggingface\.co .*name its folder, as in hf:\./folder"
    ):
        load("hf:someone/tiny-vit")
