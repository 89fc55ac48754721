import re

from hypothesis import given
from hypothesis import strategies as st

from modelatlas.store import model_key


@given(name=st.text(min_size=1))
def test_a_key_is_a_plain_file_name(name):
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{9,80}", model_key(name))


@given(names=st.lists(st.text(min_size=1), unique=True, max_size=8))
def test_two_names_have_two_keys(names):
    assert len({model_key(name) for name in names}) == len(names)


def test_a_key_is_readable_and_stays_what_it_is():
    """Stored atlases depend on it: the digits are `printf %s NAME | sha256sum | head -c 10`."""
    assert model_key("timm:resnet18?random=0") == "timm-resnet18-random-0-" + "5829fe9377"
