"""Official files come whole and belong to the network, or nothing of them stays; against a real local server.

The files are `golden/types_v1` and `_v2`, which TensorFlow wrote; the port is one layer, whose weight is a
2 x 3 variable of theirs.
"""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from modelatlas.errors import CheckpointError, FetchError, InputError, ModelError
from modelatlas.zoo import ModelCard, ModelSpec
from modelatlas.zoo.checkpoints import NameTable, Slot
from modelatlas.zoo.ports import Origin, Port, PortedSource

pytestmark = pytest.mark.filterwarnings("ignore:.* is fetched over http:UserWarning")  # it is, on purpose

GOLDEN = Path(__file__).parents[1] / "checkpoints" / "golden"
FILES = {path.name: path.read_bytes() for path in GOLDEN.glob("types_v?.ckpt*")}
NAMES = NameTable(
    slots={"weight": Slot("float32")}, anchor="float32", unused=(r"net/\w+$", r"net/long/", "text")
)
SPEC = ModelSpec.parse("tiny:one")
SHARD = "types_v2.ckpt.data-00002-of-00003"  # the one with net/float32


def source(server, *, packing="tensorflow-v2", url=None, member=None, names=NAMES) -> PortedSource:
    url = url or f"{server.url}/types_v2.ckpt"
    origin = Origin("local", url, packing, "any", member=member, offers_https=False)
    build = lambda: nn.Linear(3, 2, bias=False)  # noqa: E731
    card = ModelCard(name="tiny:one", spec="tiny:one")
    return PortedSource("tiny", "toys", {"one": Port(card, build, lambda *_: names, (origin,))})


def weight_of(network) -> np.ndarray:
    return network.weight.detach().numpy()


EXPECTED = np.load(GOLDEN / "types_v2.npz")["net|float32"]


def kept_files(tmp_path) -> list[str]:
    """What the cache holds below `weights`, hidden files and parts included."""
    return sorted(p.name for p in (tmp_path / "cache" / "weights").rglob("*") if p.is_file())


def packed(*, form: str, prefix: str, names) -> bytes:
    stream = io.BytesIO()
    if form == "zip":
        with zipfile.ZipFile(stream, "w") as archive:
            for name in names:
                archive.writestr(prefix + name, FILES[name])
    else:
        with tarfile.open(fileobj=stream, mode="w:gz") as archive:
            for name in names:
                info = tarfile.TarInfo(prefix + name)
                info.size = len(FILES[name])
                archive.addfile(info, io.BytesIO(FILES[name]))
    return stream.getvalue()


def test_a_version_2_checkpoint_comes_with_its_shards(server, tmp_path):
    server.files |= FILES
    tiny = source(server)
    network = tiny.build(SPEC, pretrained=True)
    np.testing.assert_array_equal(weight_of(network), EXPECTED)
    assert sorted(server.asked) == sorted(name for name in FILES if "v2" in name)
    receipt = json.loads(next((tmp_path / "cache").rglob("receipt.json")).read_text())
    assert set(receipt["sha256"]) == set(server.asked)
    server.files.clear()  # nothing is asked again
    np.testing.assert_array_equal(weight_of(tiny.build(SPEC, pretrained=True)), EXPECTED)


@pytest.mark.parametrize("prefix", ["", "./", "some/folder/"])
@pytest.mark.parametrize("form", ["zip", "tar.gz"])
def test_a_checkpoint_in_an_archive(form, prefix, server, tmp_path):
    names = ["types_v1.ckpt"] if prefix else [name for name in FILES if "v2" in name]
    server.files["a.archive"] = packed(form=form, prefix=prefix, names=names)
    member = "types_v1.ckpt" if prefix else "types_v2.ckpt"
    tiny = source(server, packing="archive", url=f"{server.url}/a.archive", member=member)
    np.testing.assert_array_equal(weight_of(tiny.build(SPEC, pretrained=True)), EXPECTED)
    assert set(kept_files(tmp_path)) == {*names, "receipt.json"}  # the archive is not kept
    missing = source(server, packing="archive", url=f"{server.url}/a.archive", member="other.ckpt")
    with pytest.raises(FetchError, match=r"no checkpoint other\.ckpt in it"):
        missing.fetch(SPEC, file=_written(tmp_path, "a.archive", server.files["a.archive"]))


def _written(tmp_path, name, content) -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("broken", ["types_v2.ckpt.index", SHARD])
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", "the server answered 404"),
        ("page", "sent a web page, not a file"),
        ("breaks", "broke off 3 times"),
        ("truncated", r"cut off|does not end as"),
        ("damaged", r"checksum .* is wrong"),
    ],
)
def test_what_goes_wrong_leaves_nothing_that_counts_and_can_be_mended(broken, how, message, server, tmp_path):
    server.files |= FILES
    content = FILES[broken]
    if how == "missing":
        del server.files[broken]
    elif how == "page":
        server.files[broken], server.pages = b"<html>log in</html>", {broken}
    elif how == "breaks":
        server.breaks = {broken}
    elif how == "truncated":
        server.files[broken] = content[:-30]
    else:
        damaged = bytearray(content)
        damaged[62] ^= 255  # in net/float32, or in the index's first block
        server.files[broken] = bytes(damaged)
    with pytest.raises((FetchError, CheckpointError), match=message) as error:
        source(server).fetch(SPEC)
    assert "tiny:one" in str(error.value)
    assert not list((tmp_path / "cache").rglob("receipt.json"))
    assert not any(
        "types" in name and not name.endswith((".part", ".validator")) for name in kept_files(tmp_path)
    )
    server.files |= FILES
    server.pages, server.breaks = set(), set()
    np.testing.assert_array_equal(weight_of(source(server).build(SPEC, pretrained=True)), EXPECTED)


def test_another_networks_file_is_refused_and_not_kept(server, tmp_path):
    server.files |= FILES
    wanting = NameTable(
        slots={"weight": Slot("float32"), "bias": Slot("biases")}, anchor="float32", unused=NAMES.unused
    )
    tiny = source(server, names=wanting)
    tiny.ports["one"] = Port(
        tiny.ports["one"].card, lambda: nn.Linear(3, 2), lambda *_: wanting, tiny.ports["one"].origins
    )
    with pytest.raises(ModelError, match="1 variables missing: net/biases"):
        tiny.fetch(SPEC)
    assert not list((tmp_path / "cache").rglob("receipt.json"))
    assert not any("types" in name for name in kept_files(tmp_path))


def test_a_file_got_by_hand_goes_before_the_origin(server, tmp_path):
    tiny = source(server)
    path = tiny.fetch(SPEC, file=GOLDEN / "types_v1.ckpt")
    assert path == tmp_path / "cache" / "weights" / "tiny-one" / "by-hand" / "types_v1.ckpt"
    np.testing.assert_array_equal(weight_of(tiny.build(SPEC, pretrained=True)), EXPECTED)
    assert server.asked == []
    for wrong, message in (
        (tmp_path / "missing.ckpt", "there is no such file"),
        (_written(tmp_path, "page.html", b"<html>"), "it is a web page"),
        (
            _written(tmp_path, "cut.ckpt", FILES["types_v1.ckpt"][:-9]),
            "no checkpoint that is read, or is cut off",
        ),
    ):
        with pytest.raises((FetchError, CheckpointError), match=message):
            tiny.fetch(SPEC, file=wrong)
        assert tiny.fetch(SPEC) == path  # what was there is still good


def test_files_that_changed_in_the_cache_are_fetched_again(server, tmp_path):
    server.files |= FILES
    tiny = source(server)
    path = tiny.fetch(SPEC)
    shard = path.with_name(SHARD)
    shard.write_bytes(shard.read_bytes()[:-1])
    tiny.fetch(SPEC)
    assert shard.read_bytes() == FILES[SHARD]
    (path.parent / "receipt.json").write_text("{}")
    asked = len(server.asked)
    tiny.fetch(SPEC)
    assert len(server.asked) > asked


def test_no_network_says_what_to_do(server, tmp_path):
    closed = source(server, url="http://127.0.0.1:9/types_v2.ckpt")
    with pytest.raises(
        FetchError, match=r"tiny:one: .*cannot reach 127\.0\.0\.1:9.*--from FILE.*\?weights=FILE"
    ):
        closed.fetch(SPEC)


def test_an_unknown_name_or_origin_says_what_there_is(server):
    tiny = source(server)
    with pytest.raises(InputError, match="did you mean tiny:one"):
        tiny.card(ModelSpec.parse("tiny:ones"))
    with pytest.raises(InputError, match="origin=moon is not one of local"):
        tiny.card(ModelSpec.parse("tiny:one?origin=moon"))
