"""Colours: even steps, readable text, groups that the colour-blind tell apart."""

import itertools
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelatlas.report.colour import Palette, Scale, contrast, hex_colour, ink_on, palette
from modelatlas.report.groups import group_styles
from modelatlas.report.map_pictures import draw_map

PALETTES: tuple[Palette, ...] = get_args(Palette)
LIGHT, DARK = "#ffffff", "#15181c"


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB under D65 of sRGB in [0, 1], from the CIE's formulas; the palettes are made in OKLab."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = (
        linear
        @ np.array(
            [
                [0.4124564, 0.3575761, 0.1804375],
                [0.2126729, 0.7151522, 0.0721750],
                [0.0193339, 0.1191920, 0.9503041],
            ]
        ).T
    )
    t = xyz / np.array([0.95047, 1.0, 1.08883])
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1
    )


@pytest.mark.parametrize("name", PALETTES)
def test_lightness_runs_one_way(name: Palette) -> None:
    """So that a scale is read in grey print too; a diverging one from its middle out."""
    lightness = lab(palette(name))[:, 0]
    halves = (
        [lightness] if name.startswith(("sequential", "saliency")) else [lightness[127::-1], lightness[128:]]
    )
    for half in halves:
        steps = np.diff(half)
        assert (steps < 0).all() or (steps > 0).all()
        assert abs(half[-1] - half[0]) > 45


@pytest.mark.parametrize("name", PALETTES)
def test_steps_are_even(name: Palette) -> None:
    """In CIELAB, another space than the one the palettes are made in: no step is thrice another."""
    colours = palette(name, 33)
    steps = np.linalg.norm(np.diff(lab(colours), axis=0), axis=1)
    assert steps.max() / steps.min() < 3.2


@pytest.mark.parametrize("name", ["diverging", "diverging-dark", "signed"])
def test_middle_of_diverging_palettes_is_neutral(name: Palette) -> None:
    _, a, b = lab(palette(name, 65)[32])
    assert np.hypot(a, b) < 5


@pytest.mark.parametrize("name", PALETTES)
def test_ink_is_readable_on_every_shade(name: Palette) -> None:
    for colour in palette(name, 64):
        ground = hex_colour(colour)
        assert contrast(ground, ink_on(ground)) >= 4.5


def test_contrast_has_the_published_values() -> None:
    """WCAG 2.2: 21 for black on white; 4.48 for the well-known #777777 on white."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


GROUPS = (
    "2D",
    "3D",
    "geometric",
    "semantic",
    "classification",
    "document",
    "inpainting",
    "other",
    "pose",
    "style",
)

# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
BLINDNESS = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def test_groups_are_readable_as_text() -> None:
    for style in group_styles(GROUPS).values():
        assert contrast(style.colour, LIGHT) >= 4.5
        assert contrast(style.dark_colour, DARK) >= 4.5


def test_the_paper_s_groups_differ_in_font_and_colour_for_all_eyes() -> None:
    styles = list(group_styles(GROUPS[:4]).values())
    for first, second in itertools.combinations(styles, 2):
        assert (first.weight, first.slant) != (second.weight, second.slant)
    for matrix in [np.eye(3), *(np.array(of) for of in BLINDNESS.values())]:
        for shade in ("colour", "dark_colour"):
            seen = []
            for style in styles:
                text = getattr(style, shade)
                rgb = np.array([int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)])
                linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
                mixed = np.clip(matrix @ linear, 0, 1)
                seen.append(
                    lab(np.where(mixed <= 0.0031308, 12.92 * mixed, 1.055 * mixed ** (1 / 2.4) - 0.055))
                )
            assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 10


@given(st.lists(st.sampled_from([*GROUPS, "", None]), max_size=12))
def test_styles_of_a_set_do_not_depend_on_its_order(groups: list[str | None]) -> None:
    styles = group_styles(groups)
    assert styles == group_styles(reversed(groups))
    assert set(styles) == {group for group in groups if group}
    looks = [(style.colour, style.weight, style.slant) for style in styles.values()]
    assert len(set(looks)) == len(looks)


def test_two_dozen_further_groups_all_look_different() -> None:
    styles = group_styles([*GROUPS[:4], *(f"group {i}" for i in range(24))])
    assert len({(style.colour, style.weight, style.slant) for style in styles.values()}) == 28


def square(values: np.ndarray) -> np.ndarray:
    out = (values + values.T) / 2
    np.fill_diagonal(out, 1)
    return out


@given(st.integers(1, 6).flatmap(lambda n: hnp.arrays(float, (n, n), elements=st.floats(-1, 1))))
def test_scale_holds_all_but_the_diagonal(values: np.ndarray) -> None:
    values = square(values)
    off = values[~np.eye(len(values), dtype=bool)]
    scale = Scale.of(values)
    assert scale.low < scale.high
    assert (off >= scale.low - 1e-9).all()
    assert (off <= scale.high + 1e-9).all()
    assert scale.diverging == bool(off.size and off.min() < -0.1 * max(off.max(), 0))
    if scale.diverging:
        assert scale.low == -scale.high
        assert scale.position(np.array(0.0)) == 0.5
    ticks = scale.ticks()
    assert 2 <= len(ticks) <= 6
    assert all(scale.low - 1e-9 <= tick <= scale.high + 1e-9 for tick in ticks)


def test_scale_of_a_tight_saliency_matrix() -> None:
    """Off the diagonal .40 to .88 (a measured run): the diagonal's 1 does not stretch the scale."""
    scale = Scale.of(np.array([[1, 0.40, 0.79], [0.40, 1, 0.88], [0.79, 0.88, 1]]))
    assert (scale.low, scale.high, scale.diverging) == (0.4, 0.9, False)


def test_scale_of_affinities_near_0() -> None:
    """Measured on seven unlike networks: -.014 to .010 is noise, and must not fill the scale."""
    scale = Scale.of(np.array([[1, -0.014, 0.010], [-0.014, 1, 0.003], [0.010, 0.003, 1]]))
    assert (scale.low, scale.high, scale.diverging) == (-0.05, 0.05, True)


def test_signed_maps_are_red_above_and_blue_below_zero() -> None:
    values = np.zeros((16, 16))
    values[:, :8], values[:, 8:] = -1, 1
    picture = draw_map(values, signed=True, side=16)
    assert picture is not None
    against, of = picture[8, 2].astype(int), picture[8, 13].astype(int)
    assert against[2] > against[0] + 50
    assert of[0] > of[2] + 50


@given(hnp.arrays(np.float32, (8, 8), elements=st.integers(-999, 999)), st.floats(1e-6, 1e6))
def test_a_map_s_picture_does_not_depend_on_its_scale(values: np.ndarray, factor: float) -> None:
    first, second = (draw_map(of, signed=True, side=24) for of in (values, values * np.float32(factor)))
    assert (first is None) == (second is None) == (not values.any())
    if first is not None and second is not None:
        assert np.abs(first.astype(int) - second.astype(int)).max() <= 6


@pytest.mark.parametrize("values", [np.zeros((4, 4)), np.full((4, 4), np.nan), np.full((4, 4), np.inf)])
def test_dead_maps_have_no_picture(values: np.ndarray) -> None:
    assert draw_map(values, signed=False, side=8) is None
