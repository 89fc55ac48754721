"""The paper's probe sets: small trees of the official layouts, the authors' own lists, the paper's rule.

The lists are the authors' (the reference folder beside the repository has them); pictures have eight pixels.
"""

import io
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modelatlas.cli.app import run
from modelatlas.errors import FetchError, InputError
from modelatlas.probe import OnDisk, build_probe, fetch_published, open_probe, published, published_probes
from range_server import packed, range_server

LISTS = Path(__file__).parents[3] / "shared/reference/probe_lists"
COUNTS = {"taskonomy": (5, 200), "indoor": (67, 15), "coco": (1, 1000)}
SMALL = {
    "taskonomy": [
        f"/data/{building}_rgb/point_{point}_view_{view}_domain_rgb.png"
        for building in ("corozal", "darden")
        for point, view in ((1, 0), (1, 1), (72, 3))
    ],
    "indoor": [
        f"Images/{room}/{name}"
        for room in ("bar", "attic")
        for name in ("Waiting Room.JPG", "a_1.jpg", "b.jpeg")
    ],
    "coco": [f"COCO_val2014_{number:012d}.jpg" for number in (42, 7, 560_000)],
}
KEPT = {"taskonomy": (2, 2), "indoor": (2, 2), "coco": (1, 2)}


@pytest.fixture
def small(monkeypatch, tmp_path):
    """The three sets with few images, and their lists."""
    sets = {
        name: replace(
            known,
            groups=KEPT[name][0],
            each=KEPT[name][1],
            group_names=("corozal", "darden") if known.group_names else (),
        )
        for name, known in published_probes().items()
    }
    for module in ("published", "opening", "fetching"):
        monkeypatch.setattr(f"modelatlas.probe.{module}.published_probes", lambda: sets)
    lists = {}
    for name, paths in SMALL.items():
        lists[name] = tmp_path / f"{name}.txt"
        chosen = [path for number, path in enumerate(paths) if number % 3 != 1]
        lists[name].write_text("\n".join(chosen) + "\n\n")
    return lists


def picture(seed, form="PNG"):
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


def lay(known, root, layout, paths):
    for seed, path in enumerate(paths):
        file = root / layout.format(**known.identify(path))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(seed))
    return root


@pytest.mark.skipif(not LISTS.is_dir(), reason="the authors' lists are not beside the repository")
@pytest.mark.parametrize("name", sorted(COUNTS))
def test_the_authors_lists_have_the_images_of_the_rule(name, tmp_path):
    """All 3,005 of them, each as a picture of its own on disk."""
    known = published_probes()[name]
    lines = (LISTS / f"{name}.txt").read_text().splitlines()
    assert known.count == len(lines) == COUNTS[name][0] * COUNTS[name][1]
    root = lay(known, tmp_path, known.layouts[0], lines)
    probe = open_probe(name, on_disk=OnDisk(root=root, listing=LISTS / f"{name}.txt"))
    assert {image.id for image in probe.images} == set(lines)
    assert probe.left_out == ()
    groups = Counter(known.identify(image.id)["group"] for image in probe.images)
    assert (len(groups), set(groups.values())) == (COUNTS[name][0], {COUNTS[name][1]})


@pytest.mark.parametrize(
    ("name", "layout"),
    [(name, layout) for name, known in published_probes().items() for layout in known.layouts],
)
def test_every_layout_gives_the_same_probe(small, name, layout, tmp_path):
    known = published.published_probes()[name]
    root = lay(known, tmp_path / "root", layout, SMALL[name])
    probe = open_probe(name, on_disk=OnDisk(root=root, listing=small[name]))
    reference = open_probe(
        name,
        on_disk=OnDisk(
            root=lay(known, tmp_path / "plain", known.layouts[0], SMALL[name]), listing=small[name]
        ),
    )
    assert probe.digest == reference.digest
    assert [image.id for image in probe.images] == [image.id for image in reference.images]
    wanted = small[name].read_text().split("\n")[:-2]
    assert sorted(image.id for image in probe.images) == sorted(known.image(path) for path in wanted)
    assert {image.licence for image in probe.images} == {known.licence}
    assert probe.manifest()["images"][0]["path"] == str(probe.images[0].path.relative_to(root))
    drawn = open_probe(name, on_disk=OnDisk(root=root, draw=True))
    groups = Counter(known.identify(image.id)["group"] for image in drawn.images)
    assert (len(groups), set(groups.values())) == (known.groups, {known.each})


def test_a_draw_depends_on_the_seed_alone(small, tmp_path):
    known = published.published_probes()["coco"]
    root = lay(known, tmp_path, "val2014/{file}", [f"COCO_val2014_{number:012d}.jpg" for number in range(40)])
    chosen = [
        {image.id for image in open_probe("coco", seed=seed, on_disk=OnDisk(root=root, draw=True)).images}
        for seed in (0, 0, 1)
    ]
    assert chosen[0] == chosen[1] != chosen[2]


def test_where_it_is_looked_for(small, tmp_path, cache, monkeypatch):
    known = published.published_probes()["taskonomy"]
    with pytest.raises(InputError, match=r"no folder of the data set taskonomy; get it \(omnitools"):
        open_probe("taskonomy", on_disk=OnDisk(draw=True))
    lay(known, tmp_path / "sets/taskonomy", "rgb/taskonomy/{group}/{file}", SMALL["taskonomy"])
    monkeypatch.setenv("MODELATLAS_DATASETS", str(tmp_path / "sets"))
    assert len(open_probe("taskonomy", on_disk=OnDisk(draw=True))) == 4
    with pytest.raises(InputError, match=r"coco: there is no folder.*probe fetch coco"):
        open_probe("coco", on_disk=OnDisk(draw=True))
    with pytest.raises(InputError, match="are for the probes taskonomy, indoor, coco only"):
        open_probe("noise", on_disk=OnDisk(draw=True))


def test_missing_files_are_named(small, tmp_path):
    known = published.published_probes()["indoor"]
    root = lay(known, tmp_path / "root", "Images/{group}/{file}", SMALL["indoor"])
    (root / "Images/bar/Waiting Room.JPG").unlink()
    with pytest.raises(
        InputError, match=r"1 of the 4 images of indoor are missing \(Images/bar/Waiting Room"
    ):
        open_probe("indoor", on_disk=OnDisk(root=root, listing=small["indoor"]))
    assert len(open_probe("indoor", on_disk=OnDisk(root=root, draw=True))) == 4
    (root / "Images/bar/a_1.jpg").unlink()
    with pytest.raises(InputError, match=r"2 of each of 2 groups.*\(1 of bar\)"):
        open_probe("indoor", on_disk=OnDisk(root=root, draw=True))
    shutil.rmtree(root / "Images/attic")
    with pytest.raises(InputError, match="there are 1 groups"):
        open_probe("indoor", on_disk=OnDisk(root=root, draw=True))
    lay(published.published_probes()["taskonomy"], root, "{group}_rgb/{file}", SMALL["taskonomy"][:3])
    with pytest.raises(InputError, match="no darden"):
        open_probe("taskonomy", on_disk=OnDisk(root=root, draw=True))


def test_unusable_and_equal_files_are_left_out_with_a_reason(small, tmp_path):
    known = published.published_probes()["indoor"]
    root = lay(known, tmp_path / "root", "Images/{group}/{file}", SMALL["indoor"])
    (root / "Images/bar/b.jpeg").write_bytes(b"GIF?")
    shutil.copy(root / "Images/attic/b.jpeg", root / "Images/attic/Waiting Room.JPG")
    probe = open_probe("indoor", on_disk=OnDisk(root=root, listing=small["indoor"]))
    assert len(probe) == 2
    assert {left.item: left.reason[:10] for left in probe.left_out} == {
        "Images/attic/b.jpeg": "same bytes",
        "Images/bar/b.jpeg": "not a pict",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("COCO_val2014_000000000042.jpg\n", r"1 images of 1 groups \(1 of coco\), where coco has 2"),
        ("COCO_val2014_000000000042.jpg\nCOCO_val2014_000000000042.jpg\n", "line 2: .* stands twice"),
        ("COCO_val2014_000000000042.jpg\nholiday.jpg\n", r"line 2 \('holiday.jpg'\) is no image of coco"),
        ("\udcff", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_wrong_lists(small, text, message, tmp_path):
    listing = tmp_path / "list.txt"
    if text is not None:
        listing.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=message):
        open_probe("coco", on_disk=OnDisk(root=tmp_path, listing=listing))


def test_a_built_set_stands_alone(small, tmp_path):
    known = published.published_probes()["taskonomy"]
    root = lay(known, tmp_path / "root", known.layouts[1], SMALL["taskonomy"])
    on_disk = OnDisk(root=root, listing=small["taskonomy"])
    manifest = build_probe("taskonomy", tmp_path / "mine", on_disk=on_disk)
    shutil.rmtree(root)
    probe = open_probe(manifest)
    assert (probe.name, len(probe)) == ("taskonomy", 4)
    assert "the authors' list" in probe.rule
    assert known.licence in (tmp_path / "mine/LICENCES.txt").read_text()


@pytest.fixture
def origin(small, cache, monkeypatch):
    """A server with both archives, and the addresses changed to it."""
    contents = {
        "indoor": {path: picture(seed) for seed, path in enumerate(SMALL["indoor"])},
        "coco": {f"val2014/{name}": picture(seed) for seed, name in enumerate(SMALL["coco"])},
    }
    sets = published.published_probes()
    with range_server() as server:
        for name, content in contents.items():
            kind = sets[name].archive_kind
            server.files[f"/{name}.{kind}"] = packed(kind, content)
            sets[name] = replace(sets[name], archive=f"{server.url}/{name}.{kind}")
        monkeypatch.setattr("modelatlas.probe.fetching.fetch_members", _over_http)
        yield server


def _over_http(*args, **options):
    from modelatlas.fetch import fetch_members

    return fetch_members(*args, allow_http=True, **options)


@pytest.mark.filterwarnings("ignore:.* is fetched over http:UserWarning")  # it is, on purpose
@pytest.mark.parametrize("name", ["indoor", "coco"])
def test_fetched_images_are_the_probe(origin, small, name, tmp_path):
    seen = []
    folder = fetch_published(name, listing=small[name], progress=lambda *state: seen.append(state))
    known = published.published_probes()[name]
    assert seen[-1] == ("fetching", known.count, known.count)
    assert sum(path.is_file() and path.suffix != ".json" for path in folder.rglob("*")) == known.count
    probe = open_probe(name, on_disk=OnDisk(listing=small[name]))
    assert len(probe) == known.count
    by_hand = tmp_path / "archive"
    by_hand.write_bytes(origin.files[f"/{name}.{known.archive_kind}"])
    shutil.rmtree(folder)
    fetch_published(name, listing=small[name], archive=by_hand)
    assert open_probe(name, on_disk=OnDisk(listing=small[name])).digest == probe.digest


@pytest.mark.filterwarnings("ignore:.* is fetched over http:UserWarning")
def test_what_cannot_be_fetched_is_said(origin, small, tmp_path):
    with pytest.raises(InputError, match="taskonomy has no plain archive: get it"):
        fetch_published("taskonomy")
    with pytest.raises(InputError, match="indoor and coco are fetched by name"):
        fetch_published("cocoa")
    with pytest.raises(FetchError, match="no such file"):
        fetch_published("coco", listing=small["coco"], archive=tmp_path / "x.zip")
    small["coco"].write_text("COCO_val2014_000000000042.jpg\nCOCO_val2014_000000000043.jpg\n")
    with pytest.raises(FetchError, match=r"1 of 2 images of coco are not in it \(COCO_val2014_000000000043"):
        fetch_published("coco", listing=small["coco"])
    origin.files.clear()
    with pytest.raises(FetchError, match="answered 404"):
        fetch_published("coco", listing=small["coco"])


@pytest.mark.filterwarnings("ignore:.* is fetched over http:UserWarning")
def test_the_commands(origin, small, tmp_path, capsys):
    assert run(["probe", "fetch", "coco", "--list", str(small["coco"])]) == 0
    assert "--probe coco" in capsys.readouterr().err
    assert run(["probe", "show", "coco", "--list", str(small["coco"]), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert len(shown["images"]) == 2
    assert set(shown["texture"]) == {"gradient_energy", "spectrum_slope"}
    assert run(["probe", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["coco"]["from"].endswith("datasets/coco")
    assert "probe fetch indoor" in rows["indoor"]["from"]
    assert run(["probe", "show", "coco", "--draw", "--list", "x"]) == 2
    assert "keep one of the two" in capsys.readouterr().err
    known = published.published_probes()["taskonomy"]
    root = lay(known, tmp_path / "root", known.layouts[0], SMALL["taskonomy"])
    words = ["probe", "build", "taskonomy", "--root", str(root), "--draw", "--out", str(tmp_path / "out")]
    assert run(words) == 0
    assert run(["probe", "show", str(tmp_path / "out/manifest.json")]) == 0
    said = capsys.readouterr().out
    assert "spectrum slope" in said
    assert "drawn by the paper's rule" in said


def test_without_a_network_the_list_is_asked_for(cache, tmp_path, monkeypatch):
    known = published_probes()["coco"]
    closed = {"coco": replace(known, list_url="https://127.0.0.1:9/imlist.txt")}  # nobody listens there
    monkeypatch.setattr("modelatlas.probe.opening.published_probes", lambda: closed)
    with pytest.raises(FetchError, match=r"the authors' list of coco .*cannot reach .*\(--list\)"):
        open_probe("coco", on_disk=OnDisk(root=tmp_path))
