import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelatlas.errors import StoreError
from modelatlas.store import Journal, Mark

ids = st.lists(st.sampled_from("abc"), max_size=6)


def test_marks_and_record_come_back(tmp_path):
    journal = Journal.of(tmp_path, "net")
    assert journal.record() is None
    assert journal.marks() == {}
    journal.write_record({"batch": 8})
    mark = Mark().extended(images=["a", "b"], count=2, fingerprints={"saliency": "f"}, seconds=1.5)
    journal.write_mark(3, mark)
    assert Journal.of(tmp_path, "net").record() == {"batch": 8}
    assert Journal.of(tmp_path, "net").marks() == {3: mark}
    assert Journal.of(tmp_path, "other").marks() == {}
    journal.forget()
    assert (journal.record(), journal.marks()) == (None, {})


@given(stored=ids, asked=ids, count=st.integers(0, 6))
def test_only_maps_of_the_same_images_and_fingerprint_are_done(stored, asked, count):
    mark = Mark().extended(images=stored, count=count, fingerprints={"m": "f", "n": "g"}, seconds=0.0)
    same = all(one == other for one, other in zip(stored, asked, strict=False))
    assert mark.done_of(asked, {"m": "f", "n": "changed"}) == ({"m": count} if same else {})


def test_other_images_take_the_place_of_the_old_ones():
    old = Mark().extended(images=["a", "b"], count=2, fingerprints={"m": "f"}, seconds=1.0)
    new = old.extended(images=["x", "b"], count=2, fingerprints={"n": "g"}, seconds=2.0)
    assert new.done_of(["x", "b"], {"m": "f", "n": "g"}) == {"n": 2}
    assert new.seconds == 3


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"images": 3}', '{"strange": 1}'])
def test_a_damaged_mark_counts_as_absent(tmp_path, content):
    journal = Journal.of(tmp_path, "net")
    journal.write_mark(0, Mark())
    (path,) = tmp_path.rglob("000000.json")
    path.write_text(content)
    assert journal.marks() == {}


def test_a_damaged_record_is_named_with_the_remedy(tmp_path):
    journal = Journal.of(tmp_path, "net")
    journal.write_record({})
    (path,) = tmp_path.rglob("model.json")
    path.write_text(json.dumps({})[:1])
    with pytest.raises(StoreError, match=r"model\.json is damaged.*charted anew"):
        journal.record()
