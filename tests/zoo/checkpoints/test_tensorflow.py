"""TensorFlow 1 checkpoints: bit-equal to what TensorFlow wrote, and no damage goes unnoticed.

`golden/types_*` and `parts_*` were written by TensorFlow 2.15.1 (`studies/ports/tiny_checkpoints.py`).
"""

import contextlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelatlas.errors import CheckpointError
from modelatlas.zoo.checkpoints import open_checkpoint
from modelatlas.zoo.checkpoints.wire import MalformedError, fields, varint

GOLDEN = Path(__file__).parent / "golden"
SHARED = Path(__file__).parents[4] / "shared" / "zoo" / "golden_tf"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the project's shared golden files are not beside the checkout"
)


def expected(path):
    return {name.replace("|", "/"): array for name, array in np.load(path).items()}


def assert_bit_equal(checkpoint, arrays):
    assert set(checkpoint) == set(arrays)
    for name, array in arrays.items():
        got = checkpoint[name]
        assert (got.dtype, got.shape) == (array.dtype, array.shape), name
        assert got.tobytes() == array.tobytes(), name
        assert checkpoint.shape(name) == array.shape


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_all_element_types_are_read_bit_equal(version):
    checkpoint = open_checkpoint(GOLDEN / f"types_{version}.ckpt")
    assert checkpoint.format == f"tensorflow-{version}"
    assert_bit_equal(checkpoint, expected(GOLDEN / f"types_{version}.npz"))
    assert checkpoint.skipped == (("text",) if version == "v2" else ())
    assert len(checkpoint.files) == (4 if version == "v2" else 1)


@pytest.mark.skipif(
    not SHARED.is_dir(), reason="the project's shared golden files are not beside the checkout"
)
@pytest.mark.parametrize("name", ["mini_v1.ckpt", "mini_v2.ckpt", "mini_v2.ckpt.data-00000-of-00001"])
def test_the_shared_golden_files_are_read_bit_equal(name):
    assert_bit_equal(open_checkpoint(SHARED / name), expected(SHARED / "mini_expected.npz"))


@pytest.mark.skipif(
    not SHARED.is_dir(), reason="the project's shared golden files are not beside the checkout"
)
def test_the_index_of_a_published_checkpoint(tmp_path):
    """PRNet's own index; in place of its data a hole of the stated size, which every checksum notices."""
    index = tmp_path / "prnet.index"
    shutil.copyfile(SHARED / "prnet_256_256_resfcn256_weight.index", index)
    with pytest.raises(CheckpointError, match=r"its shard prnet\.data-00000-of-00001 is not beside it"):
        open_checkpoint(index)
    with (tmp_path / "prnet.data-00000-of-00001").open("wb") as stream:
        stream.truncate(160_290_984)
    checkpoint = open_checkpoint(tmp_path / "prnet")
    assert len(checkpoint) == 545
    own = [name for name in checkpoint if "Adam" not in name and "power" not in name]
    assert len(own) == 245
    assert sum(int(np.prod(checkpoint.shape(name))) for name in own) == 13_365_508
    with pytest.raises(CheckpointError, match="the checksum of resfcn256/Conv/weights is wrong"):
        checkpoint["resfcn256/Conv/weights"]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_partitioned_variables_are_refused(version):
    with pytest.raises(CheckpointError, match=r"net/parts is stored in .*slices"):
        open_checkpoint(GOLDEN / f"parts_{version}.ckpt")


def test_a_missing_shard_is_named(tmp_path):
    for file in GOLDEN.glob("types_v2.ckpt.*"):
        shutil.copyfile(file, tmp_path / file.name)
    (tmp_path / "types_v2.ckpt.data-00001-of-00003").unlink()
    with pytest.raises(CheckpointError, match=r"types_v2.ckpt.data-00001-of-00003 is not beside it") as error:
        open_checkpoint(tmp_path / "types_v2.ckpt")
    assert error.value.path == tmp_path / "types_v2.ckpt.index"


def test_a_truncated_shard_is_named(tmp_path):
    for file in GOLDEN.glob("types_v2.ckpt.*"):
        shutil.copyfile(file, tmp_path / file.name)
    shard = tmp_path / "types_v2.ckpt.data-00002-of-00003"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"it is cut off: net/.* ends at byte 156 of 155"):
        open_checkpoint(tmp_path)


def all_or_error(path, arrays):
    """Read everything: bit-equal, or an error of ours that names a file."""
    try:
        read = dict(open_checkpoint(path))
    except CheckpointError:
        return
    assert set(read) == set(arrays)
    for name, array in arrays.items():
        assert read[name].tobytes() == array.tobytes(), name


FILES = sorted(file.name for file in GOLDEN.glob("types_v?.ckpt*"))  # the first shard holds the text alone


@given(name=st.sampled_from(FILES), data=st.data())
def test_no_damaged_byte_goes_unnoticed(name, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged", numbered=True)
    for file in GOLDEN.glob("types_v?.ckpt*"):
        shutil.copyfile(file, folder / file.name)
    content = bytearray((GOLDEN / name).read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    (folder / name).write_bytes(content)
    version = name[6:8]
    all_or_error(folder / f"types_{version}.ckpt", expected(GOLDEN / f"types_{version}.npz"))


@given(name=st.sampled_from([name for name in FILES if "data-00000" not in name]), data=st.data())
def test_no_cut_off_file_is_read(name, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cut", numbered=True)
    for file in GOLDEN.glob("types_v?.ckpt*"):
        shutil.copyfile(file, folder / file.name)
    content = (GOLDEN / name).read_bytes()
    (folder / name).write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(CheckpointError):
        open_checkpoint(folder / f"types_{name[6:8]}.ckpt")


@given(tail=st.binary(max_size=400))
def test_hostile_tables_end_in_an_error(tail, tmp_path_factory):
    """Any bytes before a footer's magic number."""
    path = tmp_path_factory.mktemp("hostile", numbered=True) / "x.ckpt"
    path.write_bytes(tail + b"\0" * 40 + bytes.fromhex("57fb808b247547db"))
    with pytest.raises(CheckpointError):
        open_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><html>404</html>", "it is a web page"),
        (b"\x00\x01\x02\x03 something else", "no checkpoint that is read"),
    ],
)
def test_other_files_say_what_they_are(content, message, tmp_path):
    path = tmp_path / "model.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(path)


def test_a_folder_must_hold_one_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match="must hold one checkpoint"):
        open_checkpoint(GOLDEN)
    with pytest.raises(CheckpointError, match="there is no such file"):
        open_checkpoint(tmp_path / "missing.ckpt")


@given(st.integers(0, 2**64 - 1))
def test_a_varint_is_read_back(value):
    written, left = bytearray(), value
    while True:
        written.append(left & 0x7F | (0x80 if left > 0x7F else 0))
        left >>= 7
        if not left:
            break
    assert varint(memoryview(bytes(written)), 0) == (value, len(written))
    with pytest.raises(MalformedError):
        varint(memoryview(bytes(written[:-1])), 0)


@given(st.binary(max_size=60))
def test_any_bytes_are_fields_or_an_error(data):
    with contextlib.suppress(MalformedError):
        assert all(number >= 0 for number, *_ in fields(memoryview(data)))
