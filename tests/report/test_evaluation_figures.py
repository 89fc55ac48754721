"""Figures of `evaluate` and `compare`: what is drawn, at any size, and what the priority curve says."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from modelatlas.evaluation import TransferTable, compare, evaluate
from modelatlas.report.comparison_figures import draw_comparison
from modelatlas.report.evaluation_figures import draw_evaluation, priority_curve
from modelatlas.report.plot import round_ticks


def table(count: int, seed: int, *, prefix: str = "timm:resnet18.model-") -> TransferTable:
    """Affinities of random vectors that share a part for all seeds."""
    vectors = np.random.default_rng(0).normal(size=(count, 6)) + 0.5 * np.random.default_rng(seed).normal(
        size=(count, 6)
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = tuple(f"{prefix}{k}" for k in range(count))
    return TransferTable(f"seed {seed}", names, names, vectors @ vectors.T)


def check(paths: list[Path]) -> None:
    """Every PNG opens and holds more than paper; every SVG parses."""
    for path in paths:
        if path.suffix == ".png":
            with Image.open(path) as picture:
                assert picture.width <= 4200
                assert len(picture.convert("RGB").getcolors(1 << 24)) > 20
        else:
            assert ElementTree.parse(path).getroot().tag.endswith("svg")


@pytest.mark.parametrize("count", [3, 20, pytest.param(150, marks=pytest.mark.slow)])
def test_an_evaluation_is_drawn_at_any_size(tmp_path, count):
    result = evaluate(
        table(count, 1), table(count, 2), noise_reference=table(count, 3), against=table(count, 4)
    )
    paths = draw_evaluation(result, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == [
        f"evaluation-{name}.{kind}" for name in ("curves", "targets", "priority") for kind in ("png", "svg")
    ]
    check(paths)


@pytest.mark.parametrize("count", [3, 20, pytest.param(150, marks=pytest.mark.slow)])
def test_a_comparison_is_drawn_at_any_size(tmp_path, count):
    result = compare(table(count, 1), table(count, 2), permutations=9)
    check(draw_comparison(result, tmp_path, titles=("atlas/one (saliency)", "atlas/two (saliency)")))


def test_undefined_values_are_drawn_as_nothing(tmp_path):
    flat = TransferTable("flat", ("a", "b", "c"), ("a", "b", "c"), np.ones((3, 3)))
    measured = TransferTable("r", ("a", "b", "c"), ("a", "b", "c"), np.arange(9.0).reshape(3, 3))
    check(draw_evaluation(evaluate(flat, measured), tmp_path))


def test_the_same_result_gives_the_same_bytes(tmp_path):
    result = evaluate(table(6, 1), table(6, 2))
    one, other = (draw_evaluation(result, tmp_path / name) for name in ("a", "b"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


@given(st.integers(0, 2**32 - 1), st.integers(3, 8), st.integers(1, 5))
def test_the_oracles_priority_curve_falls_from_one_to_zero(seed, sources, targets):
    rng = np.random.default_rng(seed)
    names = [f"s{k}" for k in range(sources)]
    reference = TransferTable(
        "r", tuple(names), tuple(f"t{k}" for k in range(targets)), rng.random((sources, targets))
    )
    best, level = priority_curve(reference, reference)
    assert best[0] == 1
    assert best[-1] == 0
    assert (np.diff(best) <= 1e-12).all()
    np.testing.assert_allclose(level, best.mean())
    other = TransferTable("p", reference.sources, reference.targets, rng.random((sources, targets)))
    ours, _ = priority_curve(other, reference)
    assert ours.mean() == pytest.approx(best.mean())
    assert (np.cumsum(ours) <= np.cumsum(best) + 1e-9).all()


def test_priority_curve_computed_by_hand():
    # Target a, itself left out; b 2, c 4, d 3 measured, so 0, 1, .5; ours: d, b, c.
    names = tuple("abcd")
    measured = TransferTable("r", names, ("a",), np.array([[9.0], [2], [4], [3]]))
    ours = TransferTable("p", names, ("a",), np.array([[1.0], [0.5], [0.1], [0.9]]))
    curve, level = priority_curve(ours, measured)
    np.testing.assert_allclose(curve, [0.5, 0, 1])
    np.testing.assert_allclose(level, 0.5)


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4), st.booleans())
def test_ticks_are_few_round_and_within(low, span, whole):
    ticks = round_ticks(low, low + span, whole=whole)
    assert len(ticks) <= 10
    assert all(low - 1e-6 * span <= tick <= low + span * (1 + 1e-6) + 1e-9 for tick in ticks)
    assert ticks == sorted(ticks)
