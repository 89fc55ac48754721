"""Texture statistics: known answers in closed form, a literal loop over SciPy's spectrum, invariances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft, signal, stats

from modelatlas.probe import open_probe, probe_texture
from modelatlas.probe.texture import gradient_energy, luma, spectrum_slope


def noise_of_slope(slope, seed=0, side=256):
    """Make a periodic picture whose amplitude is f^slope exactly, with random phases."""
    phases = fft.fft2(np.random.default_rng(seed).standard_normal((side, side)))
    distance = np.hypot(*np.meshgrid(fft.fftfreq(side) * side, fft.fftfreq(side) * side))
    distance[0, 0] = np.inf
    return fft.ifft2(phases / np.abs(phases) * distance**slope).real


def test_gradient_energy_of_a_ramp_and_a_chequerboard():
    rows, columns = np.mgrid[:64, :64]
    assert gradient_energy(0.01 * columns + 0.02 * rows) == pytest.approx(0.0005)
    assert gradient_energy(((rows + columns) % 2).astype(float)) == 2
    assert gradient_energy(np.full((9, 9), 0.3)) == 0


@pytest.mark.parametrize("slope", [-0.5, -1.0, -1.5, -2.0])
def test_the_slope_of_a_known_spectrum(slope):
    assert spectrum_slope(noise_of_slope(slope)) == pytest.approx(slope, abs=0.06)


def test_the_slope_against_a_loop_over_scipys_spectrum():
    grey = noise_of_slope(-1.2, seed=3)
    window = signal.windows.hann(513)[1::2]  # its values half-way between those of the periodic one
    outer = window[:, None] * window
    power = np.abs(fft.fft2((grey - (grey * outer).sum() / outer.sum()) * outer)) ** 2
    sums, counts = np.zeros(200), np.zeros(200)
    for row in range(256):
        for column in range(256):
            at = round(float(np.hypot(min(row, 256 - row), min(column, 256 - column))))
            sums[at] += power[row, column]
            counts[at] += 1
    amplitude = np.sqrt(sums[4:65] / counts[4:65])
    expected = stats.linregress(np.log(np.arange(4, 65)), np.log(amplitude)).slope
    assert spectrum_slope(grey) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=10)
@given(factor=st.floats(0.1, 3.0), offset=st.floats(-1.0, 1.0))
def test_contrast_and_brightness(factor, offset):
    grey = noise_of_slope(-1.0)
    assert spectrum_slope(factor * grey + offset) == pytest.approx(spectrum_slope(grey), abs=1e-6)
    energy = factor**2 * gradient_energy(grey)
    assert gradient_energy(factor * grey + offset) == pytest.approx(energy, rel=1e-6)


def test_flat_images_have_no_slope(tmp_path, draw):
    from PIL import Image

    Image.new("RGB", (30, 30), (9, 99, 200)).save(tmp_path / "flat.png")
    flat = probe_texture(open_probe(tmp_path))
    assert flat.spectrum_slope is None
    assert flat.gradient_energy.mean == 0
    draw(tmp_path / "a.png", size=(256, 256))
    both = probe_texture(open_probe(tmp_path))
    assert both.spectrum_slope.deviation == 0
    assert both.gradient_energy.mean > 0


def test_white_noise_is_flat_in_the_spectrum_and_blur_steepens_it(tmp_path, draw):
    pixels = draw(tmp_path / "a.png", size=(256, 256))
    white = luma(pixels)
    assert spectrum_slope(white) == pytest.approx(0, abs=0.05)
    blurred = white + np.roll(white, 1, 0) + np.roll(white, 1, 1) + np.roll(white, (1, 1), (0, 1))
    assert spectrum_slope(blurred / 4) < spectrum_slope(white) - 0.03
    assert gradient_energy(blurred / 4) < gradient_energy(white) / 3
