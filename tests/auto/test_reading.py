"""A capture is aligned, or refused with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import firwin

from dpdrun.auto.reading import read
from dpdrun.errors import DataError
from dpdrun.recipe.schema import AlignSection, DataSection

Signal = NDArray[np.complex128]
SAMPLES = 30_000


def noise(samples: int, seed: int) -> Signal:
    rng = np.random.default_rng(seed)
    return 0.1 * np.convolve(
        rng.normal(size=samples + 16) + 1j * rng.normal(size=samples + 16), np.hanning(17), "valid"
    )


def amplified(x: Signal) -> Signal:
    return 2.0 * x * (1 - 0.2 * np.abs(x) ** 2)


def section(folder: Path, x: Signal, y: Signal) -> DataSection:
    folder.mkdir(exist_ok=True)
    np.savez(folder / "capture.npz", x=x, y=y)
    return DataSection.model_validate(
        {"source": str(folder / "capture.npz"), "sample_rate_hz": 1e6, "bandwidth_hz": 1.2e5}
    )


def test_aligned_with_the_values_in_the_section(tmp_path: Path) -> None:
    x = noise(SAMPLES, 0)
    reading = read(section(tmp_path, x, np.concatenate([np.zeros(37), amplified(x)])[:SAMPLES]))
    assert isinstance(reading.section.align, AlignSection)
    assert reading.section.align.delay_samples == pytest.approx(37, abs=0.01)
    assert any("coarse delay" in each for each in reading.corrected)
    assert not any("late" in each for each in reading.facts.warnings)


def test_nothing_to_correct(tmp_path: Path) -> None:
    x = noise(SAMPLES, 0)
    reading = read(section(tmp_path, x, amplified(x)))
    assert reading.section.align == "off"
    assert reading.corrected == ()
    assert not any("second band" in each for each in reading.facts.warnings)


def drifting(x: Signal) -> Signal:
    return amplified(x) * np.exp(1j * np.radians(20) * np.minimum(1, np.arange(len(x)) / (0.3 * len(x))))


def clipped(y: Signal) -> Signal:
    most = np.abs(y).max() / 4
    return np.asarray(np.clip(y.real, -most, most) + 1j * np.clip(y.imag, -most, most), np.complex128)


X, OTHER = noise(SAMPLES, 0), noise(SAMPLES, 1)
PHASE = np.exp(1j * np.cumsum(X.real))
SECOND_BAND = noise(SAMPLES, 5) * np.exp(2j * np.pi * 0.3 * np.arange(SAMPLES))
WHITE = np.random.default_rng(3).normal(size=(SAMPLES, 2)) @ [0.02, 0.02j]


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        pytest.param(X, amplified(OTHER), "do not belong together", id="unrelated"),
        pytest.param(PHASE, PHASE, "constant envelope", id="constant envelope"),
        pytest.param(X, drifting(X), "drifts inside the train split", id="drift"),
        pytest.param(X, amplified(X) + SECOND_BAND, "not explained by this input", id="second band"),
        pytest.param(X, 2 * X + WHITE, "no distortion to learn above it", id="noise"),
        pytest.param(X, clipped(amplified(X)), "not explained by this(.|\n)* as well: .* saturates", id="clipped"),
    ],
)
def test_refused_with_the_reason(x: Signal, y: Signal, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=reason):
        read(section(tmp_path, x, y))


def test_a_second_band_that_the_receiver_filtered_out_is_suspected(tmp_path: Path) -> None:
    modulated = X * (1 - 0.1 * np.abs(X) ** 2 - 0.2 * np.abs(OTHER) ** 2)
    assert "a second band in the same amplifier" in read(section(tmp_path, X, modulated)).facts.warnings[-1]


def test_exchanged_signals_are_refused_unless_the_user_insists(tmp_path: Path) -> None:
    x = banded(0.09) / 0.02
    y = 2 * x / (1 + 0.1 * np.abs(x) ** 2)
    right, wrong = (section(tmp_path / name, *pair).model_copy(update={"bandwidth_hz": 2e5})
                    for name, pair in (("right", (x, y)), ("wrong", (y, x))))  # fmt: skip
    assert not any("look exchanged" in each for each in read(right).facts.warnings)
    with pytest.raises(DataError, match=r"look exchanged.*--input-signal.*--no-check-rates"):
        read(wrong)
    accepted = read(wrong.model_copy(update={"check_rates": "off"}))
    assert "look exchanged" in accepted.facts.warnings[0]


def banded(edge: float) -> Signal:
    """Noise up to an edge in cycles per sample, and 80 dB less above it."""
    return np.convolve(WHITE, firwin(401, 2 * edge, window=("kaiser", 8)), "same")


def unstated(folder: Path, x: Signal) -> DataSection:
    return section(folder, x, amplified(x)).model_copy(update={"bandwidth_hz": "auto"})


def test_a_bandwidth_that_is_not_stated_is_measured(tmp_path: Path) -> None:
    reading = read(unstated(tmp_path, banded(0.1)))
    assert reading.capture.bandwidth_hz == pytest.approx(2e5, rel=0.05)
    assert reading.section.bandwidth_hz == reading.capture.bandwidth_hz
    assert any("the bandwidth is not stated" in each for each in reading.facts.warnings)


@pytest.mark.parametrize("x", [X, banded(0.1) * np.exp(2j * np.pi * 0.1 * np.arange(SAMPLES))])
def test_a_bandwidth_that_the_input_does_not_show_is_asked_for(x: Signal, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="give --bandwidth-hz"):
        read(unstated(tmp_path, x))


def test_loops_are_split_between_them(tmp_path: Path) -> None:
    spectrum = np.zeros((30, 1000), complex)
    spectrum[:, np.r_[:60, -60:0]] = np.random.default_rng(4).normal(size=(30, 120, 2)) @ [1, 1j]
    frames = np.fft.ifft(spectrum)
    x, late = frames.ravel(), np.roll(frames, 3, axis=1).ravel()
    reading = read(section(tmp_path, x / np.abs(x).max(), amplified(x / np.abs(x).max()) + 0.1 * late))
    assert reading.capture.loop_samples == 1000
    assert [len(part) for part in reading.capture.parts.values()] == [18_000, 6_000, 6_000]
    assert reading.section.split != "auto"
    assert reading.corrected == ("the splits: at the ends of the loops of 1,000 samples",)
