"""The tables of docs/benchmarks.md are those that the results give."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import tables

    return tables


def test_the_page_has_what_the_results_say(tables):
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    found = tables.tables()
    assert found.keys() >= {"make bench"}
    for command, text in found.items():
        assert f"<!-- table: {command} -->\n\n{text}\n\n<!-- end of table -->" in page


def test_a_row_tells_both_libraries_together_and_leaves_out_what_was_not_measured(tables):
    row = {
        "model": "net", "layer": "last", "engine_to_bare": 1.1, "floor": 0.5,
        "median": {"engine": 2.0, "bare": 1.8, "captum": 3.0, "zennit": 3.2},
        "peak_mib": {"engine": 10.4, "bare": None, "saliency": 20.6},
    }  # fmt: skip
    line = tables.attribution([("X", {"rows": [row]})])[-1]
    assert line == "| X | net | `last` | 2.00 | 1.80 | 1.10 | - | 3.00 | 3.20 | 3.1 | 0.50 | 10 / - / 21 |"
