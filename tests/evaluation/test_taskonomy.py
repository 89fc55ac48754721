"""Taskonomy's files from a server of our own: genuine-looking ones, and ones that would do harm."""

import hashlib
import io
import os
import pickle
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from modelatlas.errors import FetchError, InputError
from modelatlas.evaluation import TRAINING_SETS, read_transfers, taskonomy_transfers
from modelatlas.evaluation.taskonomy import (
    FILES,
    ORIGIN,
    SPELLINGS,
    first_order,
    read_affinity_pickle,
    reference_folder,
)

# The server on the loopback interface has no certificate; that http is warned of is the fetch room's test.
pytestmark = pytest.mark.filterwarnings("ignore:.* is fetched over http:UserWarning")


def genuine(affinities):
    """Pickle a dict of NumPy floats as the authors did: protocol 3, by the old name of NumPy's module."""
    text = pickle.dumps({name: np.float64(value) for name, value in affinities.items()}, protocol=3)
    return text.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Folder that is served, and its address; a cache of its own."""
    folder = tmp_path / "origin"
    folder.mkdir()
    monkeypatch.setenv("MODELATLAS_CACHE", str(tmp_path / "cache"))
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, directory=folder, **kwargs)

        def log_message(self, *args):
            pass

        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{served.server_port}/", asked
    served.shutdown()
    served.server_close()


def put(folder, training_set, content):
    (folder / FILES[training_set][0]).write_bytes(content)
    return {training_set: hashlib.sha256(content).hexdigest()}


def test_the_origin_is_pinned_by_revision_and_checksum():
    assert set(TRAINING_SETS) == {"16k", "1k", "standard"}
    assert ORIGIN.startswith("https://raw.githubusercontent.com/StanfordVL/taskonomy/")
    assert len(ORIGIN.split("/")[5]) == 40
    assert all(len(digest) == 64 for _, digest in FILES.values())


@pytest.mark.parametrize("training_set", ["16k", "1k", "standard"])
def test_published_values_come_back_from_files_of_the_authors_form(server, published, training_set):
    folder, address, _ = server
    want = read_transfers(published, training_set=training_set)
    theirs = {ours: spelled for spelled, ours in SPELLINGS.items()}
    pairs = {
        f"{theirs.get(source, source)}__{theirs.get(target, target)}": value
        for (source, target), value in want.frame().stack().items()
    }
    pairs |= {"edge2d__edge3d__curvature": 0.5, "a__b__c__d": 0.1}  # of higher order, to be left out
    checksums = put(folder, training_set, genuine(pairs))
    got = taskonomy_transfers(training_set, origin=address, checksums=checksums)
    assert got.origin == f"taskonomy:{training_set}"
    assert set(got.sources) == set(want.sources)
    assert set(got.targets) == set(want.targets)
    np.testing.assert_array_equal(got.select(want.sources, want.targets).values, want.values)


def test_a_second_call_asks_nobody(server, monkeypatch):
    folder, address, asked = server
    checksums = put(folder, "1k", genuine({"a__b": 0.25, "b__a": 0.5}))
    monkeypatch.setenv("MODELATLAS_TASKONOMY_ORIGIN", address.rstrip("/"))
    one = taskonomy_transfers("1k", checksums=checksums)
    other = taskonomy_transfers("1k", checksums=checksums)
    assert asked == ["/all_affinities_1k.pkl"]
    assert one.frame().equals(other.frame())


def test_another_file_than_the_authors_is_refused(server):
    folder, address, _ = server
    put(folder, "16k", genuine({"a__b": 1.0}))
    with pytest.raises(FetchError, match="SHA-256 is"):
        taskonomy_transfers("16k", origin=address)


def test_a_file_saved_by_hand_needs_no_server(server):
    content = genuine({"a__b": 0.25, "b__a": 0.5})
    digest = hashlib.sha256(content).hexdigest()
    (reference_folder(digest) / FILES["16k"][0]).write_bytes(content)
    got = taskonomy_transfers("16k", origin="http://127.0.0.1:9/", checksums={"16k": digest})
    assert got.frame().loc["a", "b"] == 0.25


def test_a_file_that_is_not_there_or_too_large(server):
    folder, address, _ = server
    with pytest.raises(FetchError, match=r"404 .*save it as .*all_affinities_16k\.pkl$"):
        taskonomy_transfers("16k", origin=address)
    checksums = put(folder, "16k", b"x" * ((1 << 20) + 1))
    with pytest.raises(FetchError, match="larger than the limit"):
        taskonomy_transfers("16k", origin=address, checksums=checksums)


def test_unknown_training_sets_are_refused():
    with pytest.raises(InputError, match="taskonomy:2k: no such training set: take one of 16k, 1k, standard"):
        taskonomy_transfers("2k")


class Harm:
    def __init__(self, call, *args):
        self.parts = (call, args)

    def __reduce__(self):
        return self.parts


class Persistent(pickle.Pickler):
    def persistent_id(self, value):
        return "outside" if value == "a__b" else None


def referring():
    stream = io.BytesIO()
    Persistent(stream).dump({"a__b": 1.0})
    return stream.getvalue()


HOSTILE = {
    "a command": (lambda mark: pickle.dumps({"a__b": Harm(os.system, f"touch {mark}")}), "posix.system"),
    "eval": (lambda mark: pickle.dumps(Harm(eval, f"open({str(mark)!r}, 'w')")), "builtins.eval"),
    "import": (lambda mark: pickle.dumps(Harm(__import__, "antigravity")), "builtins.__import__"),
    "getattr": (lambda mark: pickle.dumps(Harm(getattr, "x", "upper")), "builtins.getattr"),
    "open": (lambda mark: pickle.dumps(Harm(open, str(mark), "w")), "open"),
    "an array of objects": (
        lambda mark: pickle.dumps({"a__b": np.array([Harm(os.system, f"touch {mark}")], dtype=object)}),
        "numpy",
    ),
    "a dotted name": (lambda mark: b"\x80\x04\x8c\x05numpy\x8c\x0bdtype.mro.x\x93.", "numpy.dtype.mro.x"),
    "a dtype of objects": (
        lambda mark: b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR.",
        "dtype 'O8', only floats are admitted",
    ),
    "a load by name within numpy": (lambda mark: b"cnumpy\nload\n(S'x'\ntR.", "numpy.load"),
    "a reference outside": (lambda mark: referring(), "outside the file"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_pickles_are_refused_and_nothing_of_them_runs(server, tmp_path, kind):
    folder, address, _ = server
    mark = tmp_path / "harm"
    make, message = HOSTILE[kind]
    checksums = put(folder, "16k", make(mark))
    with pytest.raises(FetchError, match=message) as caught:
        taskonomy_transfers("16k", origin=address, checksums=checksums)
    assert "all_affinities_16k.pkl" in str(caught.value)
    assert not mark.exists()
    assert not list(tmp_path.glob("cache/**/*.csv"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle at all",
        genuine({"a__b": 1.0})[:-5],
        pickle.dumps(["a__b", 1.0]),
        pickle.dumps({"a__b": "high"}),
        pickle.dumps({1: 2.0}),
        b"cnumpy.core.multiarray\nscalar\n(I1\nI2\ntR.",
        b"\x80\x03cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\x02\x00\x00\x00f8K\x00K\x01\x87RC\x03abc\x86R.",
    ],
)
def test_damaged_and_meaningless_pickles_are_refused(tmp_path, content):
    path = tmp_path / "file.pkl"
    path.write_bytes(content)
    with pytest.raises(FetchError, match=r"file\.pkl: ") as caught:
        read_affinity_pickle(path)
    assert "remove it" in str(caught.value)


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("kind", [np.float64, np.float32, float])
def test_floats_come_back(tmp_path, protocol, kind):
    path = tmp_path / "file.pkl"
    values = {"a__b": kind(0.1), "b__a": kind(-1e300 if kind is not np.float32 else 2.5)}
    path.write_bytes(pickle.dumps(values, protocol=protocol))
    got = read_affinity_pickle(path)
    assert got == {name: float(value) for name, value in values.items()}
    assert all(type(value) is float for value in got.values())


def test_byte_order_is_respected(tmp_path):
    path = tmp_path / "file.pkl"
    path.write_bytes(pickle.dumps({"a__b": np.array(0.1, dtype=">f8")[()]}, protocol=3))
    assert read_affinity_pickle(path) == {"a__b": 0.1}


def test_spellings_are_unified():
    got = first_order(
        {"impainting_whole__segmentsemantic_rb": 1.0, "self__vanishing_point_well_defined": 2.0}
    )
    assert got == {("inpainting_whole", "segmentsemantic"): 1.0, ("self", "vanishing_point"): 2.0}
