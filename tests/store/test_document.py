import json

import pytest

from modelatlas.errors import InputError, StoreError
from modelatlas.store import FORMAT, read_document, write_document

PARTS = {"state": "finished", "settings": {}, "probe": {}, "models": {"ü": {}}, "left_out": []}


def test_a_document_comes_back_with_its_format(tmp_path):
    write_document(tmp_path, PARTS)
    assert read_document(tmp_path) == {"format": FORMAT, **PARTS}


@pytest.mark.parametrize("part", ["state", "settings", "probe", "models", "left_out"])
def test_a_lost_part_is_named(tmp_path, part):
    write_document(tmp_path, {**PARTS, part: None})
    with pytest.raises(StoreError, match=f"damaged.*'{part}'.*maps are kept"):
        read_document(tmp_path)


def test_a_folder_without_atlas_is_named(tmp_path):
    with pytest.raises(InputError, match="no atlas there") as caught:
        read_document(tmp_path / "absent")
    assert caught.value.exit_status == 2


def test_a_newer_format_asks_for_an_upgrade(tmp_path):
    (tmp_path / "atlas.json").write_text(json.dumps({"format": FORMAT + 1}))
    with pytest.raises(
        StoreError, match=rf"format {FORMAT + 1} is newer than {FORMAT}.*pip install --upgrade"
    ):
        read_document(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"models": {}}', '{"format": "1"}', "\0\1\2", "{}"]
)
def test_a_damaged_document_is_named(tmp_path, content):
    (tmp_path / "atlas.json").write_text(content)
    with pytest.raises(StoreError, match=r"atlas\.json is damaged.*: move it away and run the same"):
        read_document(tmp_path)


def test_an_older_format_is_brought_up_step_by_step(tmp_path):
    """A reader of format 1 that knows how to get there from 1: as the reader of format 2 will."""
    (tmp_path / "atlas.json").write_text(json.dumps({"format": FORMAT, "grid": 8}))
    migrations = {FORMAT: lambda old: {**PARTS, "settings": {"grid": old["grid"]}}}
    found = read_document(tmp_path, migrations=migrations)
    assert found == {**PARTS, "settings": {"grid": 8}, "format": FORMAT + 1}
