"""Symbols with a known error on every subcarrier."""

from __future__ import annotations

import numpy as np
import pytest

from dpdrun.rf.evm import demodulate, spectral_evm_db
from dpdrun.rf.ofdm_grid import OfdmGrid, around_centre, symbol_starts

RATE = 61.44e6
FFT, PREFIX, ACTIVE = 1024, 128, 120
PERIOD = FFT + PREFIX
BINS = around_centre(ACTIVE)
GRID = OfdmGrid(FFT, PREFIX, (0.0,), BINS)
RNG = np.random.default_rng(0)


def time_signal(symbols: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """(S, K) on FFT bins -> a record with prefixes."""
    spectrum = np.zeros((len(symbols), FFT), np.complex128)
    spectrum[:, bins % FFT] = symbols
    body = np.fft.ifft(spectrum, axis=1)
    return np.concatenate([body[:, -PREFIX:], body], axis=1).ravel()


def qpsk(*shape: int) -> np.ndarray:
    return RNG.choice([-1.0, 1.0], shape) + 1j * RNG.choice([-1.0, 1.0], shape)


def error_without_gain(wanted: np.ndarray, level_db: float) -> np.ndarray:
    """Noise of a known power that no complex gain on `wanted` can take a part of."""
    error = RNG.standard_normal(wanted.shape) + 1j * RNG.standard_normal(wanted.shape)
    error -= wanted * np.vdot(wanted, error) / np.vdot(wanted, wanted)
    return error * np.sqrt(10 ** (level_db / 10) * np.vdot(wanted, wanted).real / np.vdot(error, error).real)


@pytest.mark.parametrize("at", [0, PREFIX // 2, PREFIX])
@pytest.mark.parametrize("gain", [1.0, 0.3 - 1.2j])
def test_a_known_error_on_every_subcarrier(at: int, gain: complex) -> None:
    """Wherever in the prefix the window begins, and whatever the gain is."""
    wanted = qpsk(4, ACTIVE)
    error = error_without_gain(wanted, -42.0)
    reference = time_signal(wanted, np.array(BINS))
    y = gain * time_signal(wanted + error, np.array(BINS))
    starts = (tuple(k * PERIOD + at for k in range(4)),)
    found = demodulate(reference, y, RATE, GRID, starts)
    assert found.evm_db == pytest.approx(-42.0, abs=1e-9)
    assert found.evm_percent == pytest.approx(100 * 10 ** (-42 / 20), rel=1e-9)
    assert found.gain == pytest.approx(gain)
    assert found.count == 4
    assert len(found.wanted) == 4 * ACTIVE


def test_an_error_outside_the_subcarriers_does_not_count() -> None:
    wanted = qpsk(2, ACTIVE)
    reference = time_signal(wanted, np.array(BINS))
    beside = time_signal(qpsk(2, ACTIVE), 200 + np.array(BINS))
    found = demodulate(reference, reference + beside, RATE, GRID, ((0, PERIOD),))
    assert found.evm_db < -250


def test_one_gain_for_all_carriers() -> None:
    """A carrier that is 10 % stronger than the other is an error: of g and 1.1 g the best common gain is 1.05 g."""
    grid = OfdmGrid(FFT, PREFIX, (-200 * RATE / FFT, 200 * RATE / FFT), BINS)
    low, high = (time_signal(qpsk(2, ACTIVE), centre + np.array(BINS)) for centre in (-200, 200))
    found = demodulate(low + high, low + 1.1 * high, RATE, grid, ((0, PERIOD),) * 2)
    assert found.evm_db == pytest.approx(20 * np.log10(0.05 / 1.05), abs=1e-9)
    assert found.gain == pytest.approx(1.05)
    assert found.count == 4


def test_carriers_with_separate_clocks_are_separated() -> None:
    """Symbols of the one begin in the middle of those of the other; the filter takes the other away."""
    step, late = RATE / FFT, 500
    grid = OfdmGrid(FFT, PREFIX, (-200 * step, 200 * step), BINS, half_band_hz=100 * step)
    wanted = [qpsk(6, ACTIVE), qpsk(6, ACTIVE)]
    errors = [error_without_gain(wanted[0], -30.0), error_without_gain(wanted[1], -30.0)]
    reference, y = (
        time_signal(low, -200 + np.array(BINS)) + np.roll(time_signal(high, 200 + np.array(BINS)), late)
        for low, high in (wanted, [w + e for w, e in zip(wanted, errors, strict=True)])
    )
    starts = symbol_starts(reference, RATE, grid)
    assert [len(each) for each in starts] == [6, 5]
    assert demodulate(reference, y, RATE, grid, starts).evm_db == pytest.approx(-30.0, abs=0.3)
    # A window of the other's clock straddles two symbols, whose errors are not orthogonal there.
    swapped = demodulate(reference, y, RATE, grid, (starts[1], starts[1]))
    assert np.abs(np.abs(swapped.wanted[:ACTIVE]) - np.sqrt(2)).max() > 0.5
    assert np.abs(np.abs(demodulate(reference, y, RATE, grid, starts).wanted) - np.sqrt(2)).max() < 0.2


def test_the_constellation_is_at_unit_power_without_the_gain() -> None:
    wanted = 7 * qpsk(3, ACTIVE)
    reference = time_signal(wanted, np.array(BINS))
    found = demodulate(reference, (2 + 1j) * reference, RATE, GRID, ((PREFIX, PREFIX + PERIOD, PREFIX + 2 * PERIOD),))
    assert found.constellation == pytest.approx(wanted.ravel() / (7 * np.sqrt(2)))


def test_an_output_with_nothing_of_the_reference() -> None:
    wanted = qpsk(1, ACTIVE)
    reference = time_signal(wanted, np.array(BINS))
    y = time_signal(error_without_gain(wanted, 0.0), np.array(BINS))
    assert demodulate(reference, y, RATE, GRID, ((PREFIX,),)).evm_db == 0.0


@pytest.mark.parametrize(
    ("starts", "said"),
    [
        (((),), r"no complete OFDM symbol of 128 \+ 1,024 samples for every carrier in 2,304 samples"),
        (((0,), (0,)), "starts of 2 carriers for a grid of 1"),
        (((-1,),), "reaches out"),
        (((2304 - 1023,),), "reaches out"),
    ],
)
def test_symbols_must_be_in_the_record(starts: tuple[tuple[int, ...], ...], said: str) -> None:
    x = time_signal(qpsk(2, ACTIVE), np.array(BINS))
    with pytest.raises(ValueError, match=said):
        demodulate(x, x, RATE, GRID, starts)


def test_what_has_no_evm() -> None:
    x = time_signal(qpsk(2, ACTIVE), np.array(BINS))
    with pytest.raises(ValueError, match="equal length"):
        demodulate(x, x[:-1], RATE, GRID, ((0,),))
    with pytest.raises(ValueError, match="no power on its occupied subcarriers"):
        demodulate(0 * x, x, RATE, GRID, ((0,),))


def test_spectral_evm_of_a_gain_error() -> None:
    """Every bin is off by the same share, so every mean is."""
    x = RNG.standard_normal(5000) + 1j * RNG.standard_normal(5000)
    found = spectral_evm_db(x, (1 + 0.03j) * x, RATE, 20e6, carriers=3, nperseg=1024)
    assert found == pytest.approx(20 * np.log10(0.03), abs=1e-9)


def test_spectral_evm_takes_means_of_magnitudes_over_carriers() -> None:
    """By hand: 16 bins of 1 MHz, a band of -4 to 4 MHz, so 8 bins in two carriers; the last bin, 4 MHz, is left out."""
    r, e = np.zeros(16, np.complex128), np.zeros(16, np.complex128)
    r[np.arange(-4, 4)] = [1, 1, 1, 1, 2, 2, 2, 2]
    e[np.arange(-4, 5)] = [0.1, 0, 0, 0.1j, 0.4, 0, 0, 0, 9.0]
    reference, y = np.fft.ifft(r), np.fft.ifft(r + e)
    found = spectral_evm_db(reference, y, 16e6, 8e6, carriers=2, nperseg=16)
    assert found == pytest.approx(20 * np.log10((0.2 / 4 + 0.4 / 8) / 2), abs=1e-9)
    # 8 bins in three carriers are two bins each, from below.
    found = spectral_evm_db(reference, y, 16e6, 8e6, carriers=3, nperseg=16)
    assert found == pytest.approx(20 * np.log10((0.1 / 2 + 0.1 / 2 + 0.4 / 4) / 3), abs=1e-9)


@pytest.mark.parametrize(
    ("y", "carriers", "said"), [(99, 1, "equal length"), (100, 60, "narrower than a bin"), (100, 1, "no power in a")]
)
def test_what_has_no_spectral_evm(y: int, carriers: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        spectral_evm_db(np.zeros(100) + 0j, np.ones(y) + 0j, 1e6, 0.5e6, carriers=carriers, nperseg=100)
