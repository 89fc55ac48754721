"""The sweep over every family (benchmarks/architectures.py): a sample of it, its page, how it goes on.

The whole of it is behind the slow marker: every line of architectures.json is measured again and has to give
the same layer, live maps and a closed budget.
"""

import json
import os
import time
import warnings
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def sweep():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import architectures

        yield architectures


@pytest.fixture
def elsewhere(sweep, tmp_path, monkeypatch):
    """The script with files of its own and a list of two small networks."""
    lines = ['[timm]\nresnet = { model = "test_resnet", side = 64 }', "[torchvision]", "[transformers]"]
    monkeypatch.setattr(sweep, "LIST", tmp_path / "list.toml")
    (tmp_path / "list.toml").write_text(
        "\n".join([*lines[:1], 'gone = { model = "no_such", side = 64 }', *lines[1:]])
    )
    for name in ("LINES", "RESULT", "PAGE"):
        monkeypatch.setattr(sweep, name, tmp_path / name.lower())
    return sweep


def result():
    return json.loads((BENCHMARKS / "architectures.json").read_text())


def check(sweep, family, library):
    (entry,) = (e for e in sweep.entries() if (e.family, e.library) == (family, library))
    (expected,) = (r for r in result()["rows"] if (r["family"], r["library"]) == (family, library))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the libraries warn of when they build a network
        row = sweep.measure(entry)
    assert sweep.verdict(row) == sweep.verdict(expected)
    assert (row["layer"], row["shape"]) == (expected["layer"], expected["shape"])
    assert row["parameters"] == expected["parameters"]
    assert row["common"] == pytest.approx(expected["common"], abs=0.02)


@pytest.mark.parametrize(
    ("library", "family"),
    [
        ("timm", "mambaout"),
        ("timm", "vision_transformer_relpos"),
        ("torchvision", "squeezenet1_1"),
        ("transformers", "dinov3"),
        ("transformers", "yolos"),
        ("transformers", "segformer"),
        ("transformers", "deformable-detr"),
    ],
)
def test_a_sample_gives_its_line_again(sweep, library, family):
    pytest.importorskip(library)
    pytest.importorskip("skimage")
    check(sweep, family, library)


def _all():
    rows = json.loads((BENCHMARKS / "architectures.json").read_text())["rows"]
    return [(row["library"], row["family"]) for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize(("library", "family"), _all())
def test_every_family_gives_its_line_again(sweep, library, family):
    check(sweep, family, library)


def test_there_are_as_many_families_as_promised_and_every_line_is_there(sweep):
    rows = result()["rows"]
    count = {library: sum(row["library"] == library for row in rows) for library in sweep.LIBRARIES}
    assert count["timm"] >= 80
    assert count["transformers"] >= 25
    assert any(row["part"] == "backbone" for row in rows)
    assert [(e.library, e.family) for e in sweep.entries()] == [(r["library"], r["family"]) for r in rows]


def test_the_page_is_what_the_results_say(sweep):
    assert (BENCHMARKS.parent / "docs" / "architectures.md").read_text() == sweep.page(result())


def test_what_does_not_pass_says_why_on_the_page(sweep):
    dead = {"saliency": 4, "gradient-x-input": 4, "epsilon-lrp": 1}
    good = result()["rows"][0] | {"alive": dict.fromkeys(dead, 4), "budget_error": 1e-16}
    assert sweep.verdict(good) == ""
    assert sweep.verdict(good | {"alive": dead, "alive_redrawn": dead}) == "maps alive: epsilon-lrp 1 of 4"
    assert sweep.verdict(good | {"budget_error": 3e-4}) == "budget error 3e-04 with 6e-03 at the pixels"
    broken = good | {"error": "ValueError: a|b", "model": "odd"}
    text = sweep.page(result() | {"rows": [good, broken]})
    assert "1 of 2 pass" in text
    assert "- timm `odd`: ValueError: a\\|b" in text


def test_common_share_of_linear_and_of_unlike_gradients(sweep):
    same = torch.ones(4, 1, 2, 2)
    assert sweep.common_share(same) == pytest.approx(1)
    assert sweep.common_share(torch.eye(4).view(4, 1, 2, 2)) == pytest.approx(0)
    # c = (1, 0) and d = (0, +-1): |c|^2 / (|c|^2 + |d|^2) = 1/2, with pairs of unlike signs counted
    mixed = torch.tensor([[1.0, 1], [1, -1], [1, 1], [1, -1]]).view(4, 1, 1, 2)
    assert sweep.common_share(mixed) == pytest.approx((12 - 4) / 3 / 8)


def test_a_failure_is_a_line_and_a_second_call_does_what_is_missing(elsewhere, monkeypatch, capsys):
    ran = []

    def here(entry):  # in this process: what `run` adds is a process of its own
        ran.append(entry.family)
        try:
            row = elsewhere.measure(entry)
        except RuntimeError as error:
            row = {"error": f"RuntimeError: {error}"}
        return {**entry._asdict(), **row, "key": entry.key}

    monkeypatch.setattr(elsewhere, "run", here)
    elsewhere.main([])
    assert ran == ["resnet", "gone"]
    assert "1 of 2 pass" in capsys.readouterr().out
    assert "no_such" in elsewhere.PAGE.read_text()
    with elsewhere.LINES.open("a") as file:
        file.write('{"key": "cut sho')  # a call that was killed
    elsewhere.main([])
    assert ran == ["resnet", "gone"]
    elsewhere.main(["--again", "failed"])
    assert ran == ["resnet", "gone", "gone"]
    assert len(elsewhere.kept_lines()) == 2
    assert [row["model"] for row in json.loads(elsewhere.RESULT.read_text())["rows"]] == [
        "test_resnet",
        "no_such",
    ]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_network_that_ends_its_process_or_takes_too_long_is_a_line(elsewhere, monkeypatch):
    entry = elsewhere.entries()[0]
    monkeypatch.setattr(elsewhere, "measure", lambda _: os._exit(7))
    assert "ended with status 7" in elsewhere.run(entry)["error"]
    monkeypatch.setattr(elsewhere, "measure", lambda _: (_ for _ in ()).throw(MemoryError("too large")))
    assert elsewhere.run(entry)["error"] == "MemoryError: too large"
    monkeypatch.setattr(elsewhere, "WALL_SECONDS", 0.5)
    monkeypatch.setattr(elsewhere, "measure", lambda _: time.sleep(60))
    assert "no answer within" in elsewhere.run(entry)["error"]
