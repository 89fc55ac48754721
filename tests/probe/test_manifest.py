"""Manifests: what is written is read again, what has changed is named, what is malformed is refused."""

import json
import os
import re
import shutil

import pytest

from modelatlas.errors import InputError
from modelatlas.probe import open_probe
from modelatlas.probe.manifest import write_manifest


@pytest.fixture
def manifest(pictures):
    return write_manifest(open_probe(pictures, images=7, seed=3), pictures / "manifest.json")


def altered(manifest, change):
    """The manifest with something else in it."""
    values = json.loads(manifest.read_text())
    change(values)
    manifest.write_text(json.dumps(values))
    return manifest


def test_a_manifest_is_the_probe_that_it_was_written_of(pictures, manifest):
    written, read = open_probe(pictures, images=7, seed=3), open_probe(manifest)
    assert read.images == written.images
    assert (read.name, read.source, read.rule, read.seed) == (
        written.name,
        written.source,
        written.rule,
        written.seed,
    )
    assert (read.pool, read.left_out) == (7, ())
    assert open_probe(manifest, images=4, seed=99).images == read.images[:4]  # it keeps its own order
    assert open_probe(manifest, images=4).digest == read.digest


def test_a_manifest_names_source_rule_seed_and_a_checksum_an_image(manifest):
    values = json.loads(manifest.read_text())
    assert values["format"] == "modelatlas-probe"
    assert values["source"] == "the folder pictures"
    assert "SHA-256" in values["rule"]
    assert values["seed"] == 3
    for entry in values["images"]:
        assert re.fullmatch("[0-9a-f]{64}", entry["sha256"])
        assert not os.path.isabs(entry["path"])  # noqa: PTH117


def test_it_can_be_moved_with_its_pictures(pictures, manifest, tmp_path):
    before = open_probe(manifest)
    shutil.move(pictures, tmp_path / "elsewhere")
    after = open_probe(tmp_path / "elsewhere" / "manifest.json")
    assert after.digest == before.digest
    assert [image.id for image in after.images] == [image.id for image in before.images]


def test_missing_and_changed_files_are_named(manifest, draw):
    images = open_probe(manifest).images
    images[1].path.unlink()
    draw(images[4].path, seed=500)
    with pytest.raises(InputError) as caught:
        open_probe(manifest)
    assert "2 of 7 images cannot be used as listed" in str(caught.value)
    assert f"{images[1].id}: the file is missing" in str(caught.value)
    assert f"{images[4].id}: has changed since the manifest was written" in str(caught.value)


def test_a_handwritten_manifest_needs_paths_and_checksums_only(pictures):
    images = open_probe(pictures).images[:2]
    entries = [{"path": one.path.relative_to(pictures).as_posix(), "sha256": one.sha256} for one in images]
    path = pictures / "mine.json"
    path.write_text(json.dumps({"format": "modelatlas-probe", "version": 1, "images": entries}))
    probe = open_probe(str(path))
    assert [image.id for image in probe.images] == [entry["path"] for entry in entries]
    assert probe.name == "pictures"


def test_texts_that_would_steer_a_terminal_are_shown_as_escapes(manifest):
    def change(values):
        values |= dict.fromkeys(("name", "source", "rule"), "one\x1b[31mred\nline")
        values["images"][0] |= dict.fromkeys(("id", "licence", "photograph"), "a\rb\u202e")

    probe = open_probe(altered(manifest, change))
    assert {probe.name, probe.source, probe.rule} == {r"one\x1b[31mred\nline"}
    first = probe.images[0]
    assert {first.id, first.licence, first.photograph} == {r"a\rb\u202e"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(format="other"), 'no "format": "modelatlas-probe"'),
        (lambda v: v.update(version=2), "version is 2, this ModelAtlas reads 1"),
        (lambda v: v.update(images=[]), "lists no images"),
        (lambda v: v.pop("images"), "lists no images"),
        (lambda v: v["images"].__setitem__(2, "a.png"), "image 2 .* is not an object"),
        (lambda v: v["images"][1].update(label="cat"), "image 1 .* unknown key 'label'; known are id, path"),
        (lambda v: v["images"][0].update(path="/etc/passwd"), "path is '/etc/passwd', not a file below"),
        (lambda v: v["images"][0].update(path="../a.png"), "path is '../a.png', not a file below"),
        (lambda v: v["images"][0].update(path="a\0.png"), "not a file below"),
        (lambda v: v["images"][0].update(path="b\udce9.png"), r"path is 'b\\udce9.png', not UTF-8: rename"),
        (lambda v: v["images"][0].pop("path"), "path is None"),
        (lambda v: v["images"][0].update(path=3), "path is 3, not a text"),
        (lambda v: v["images"][0].update(width=True), "width is True, not a whole number"),
        (lambda v: v["images"][0].update(sha256="abc"), "sha256 is 'abc', not 64 hexadecimal digits"),
        (lambda v: v["images"][0].pop("sha256"), "sha256 is None"),
        (lambda v: v["images"].append(v["images"][0]), "have the same id"),
        (lambda v: v["images"].append(v["images"][0] | {"id": "again"}), "and again have the same sha256"),
    ],
)
def test_malformed_manifests(manifest, change, message):
    with pytest.raises(InputError, match=message):
        open_probe(altered(manifest, change))


def test_a_slip_in_the_json_is_named_with_its_place(manifest):
    manifest.write_text('{"format": "modelatlas-probe",\n "version": 1,\n "images": [,]}')
    with pytest.raises(InputError, match=r"line 3, column 13: .*mend the manifest, or name the pictures'"):
        open_probe(manifest)


def test_checksums_in_upper_case_and_a_mark_in_front_are_read(manifest):
    before = open_probe(manifest)

    def upper(values):
        for image in values["images"]:
            image["sha256"] = image["sha256"].upper()

    text = altered(manifest, upper).read_text()
    manifest.write_text(text, encoding="utf-8-sig")
    assert open_probe(manifest).images == before.images


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", "[" * 100_000], ids=str.__len__)
def test_other_files_are_no_manifest(tmp_path, text):
    path = tmp_path / "manifest.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"neither a folder of pictures nor a manifest|not a probe manifest"):
        open_probe(path)
