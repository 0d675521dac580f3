from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import firwin, lfilter, welch

from dpdrun.rf import spectrum

RATE = 1e9
RNG = np.random.default_rng(0)


def band_limited(bandwidth_hz: float, centre_hz: float = 0.0, samples: int = 60_000) -> np.ndarray:
    white = RNG.standard_normal(samples) + 1j * RNG.standard_normal(samples)
    taps = firwin(801, bandwidth_hz / 2, fs=RATE, window=("kaiser", 12.0))
    return lfilter(taps, 1.0, white) * np.exp(2j * np.pi * centre_hz / RATE * np.arange(samples))


def test_psd_is_welch_in_rising_order() -> None:
    x = band_limited(200e6)
    frequency, density = spectrum.psd(x, RATE, nperseg=1024)
    f, d = welch(x, RATE, window="hann", nperseg=1024, noverlap=512, detrend=False, return_onesided=False)
    assert np.all(np.diff(frequency) > 0)
    assert np.allclose(density, d[np.argsort(f)])


def test_psd_integrates_to_the_power() -> None:
    x = band_limited(300e6)
    frequency, density = spectrum.psd(x, RATE)
    assert np.sum(density) * (frequency[1] - frequency[0]) == pytest.approx(np.mean(np.abs(x) ** 2), rel=0.02)
    assert spectrum.band_power(frequency, density, -np.inf, np.inf) == pytest.approx(
        np.sum(density) * (frequency[1] - frequency[0])
    )


def test_a_tone_is_where_it_belongs() -> None:
    x = np.exp(2j * np.pi * 0.125 * np.arange(20_000))
    frequency, density = spectrum.psd(x, RATE)
    assert frequency[np.argmax(density)] == pytest.approx(125e6)


def test_band_power_shares_bins_at_the_edges() -> None:
    frequency, density = np.array([0.0, 1.0, 2.0, 3.0]), np.ones(4)
    assert spectrum.band_power(frequency, density, 0.25, 2.25) == pytest.approx(2.0)
    assert spectrum.band_power(frequency, density, 0.6, 0.7) == pytest.approx(0.1)


def test_full_bin_power_counts_bins_by_their_centre() -> None:
    frequency, density = np.array([0.0, 1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0, 8.0])
    assert spectrum.whole_bin_power(frequency, density, 0.0, 2.0) == 3.0  # half open: the bin at 2 is outside
    assert spectrum.whole_bin_power(frequency, density, 0.9, 2.1) == 6.0


def test_a_band_between_two_bins_is_refused() -> None:
    with pytest.raises(ValueError, match="no bin of the spectrum lies in"):
        spectrum.whole_bin_power(np.array([0.0, 1e6, 2e6]), np.ones(3), 0.2e6, 0.8e6)


def test_occupied_band_of_a_flat_band() -> None:
    low, high = spectrum.occupied_band(band_limited(200e6, 50e6), RATE)
    assert low == pytest.approx(50e6 - 99e6, abs=2.5e6)
    assert high == pytest.approx(50e6 + 99e6, abs=2.5e6)


def test_occupied_band_holds_99_percent() -> None:
    x = RNG.standard_normal(50_000) + 1j * RNG.standard_normal(50_000)
    low, high = spectrum.occupied_band(x, RATE)
    assert high - low == pytest.approx(0.99 * RATE, rel=0.01)


def test_out_of_band_power() -> None:
    x = band_limited(190e6)
    assert spectrum.out_of_band_db(x, RATE, 200e6) < -60
    far = band_limited(50e6, 300e6)
    far *= np.sqrt(np.mean(np.abs(x) ** 2) / np.mean(np.abs(far) ** 2) * 1e-4)
    assert spectrum.out_of_band_db(x + far, RATE, 200e6) == pytest.approx(-40.0, abs=0.2)


@pytest.mark.parametrize("centre_hz", [-320e6, 320e6])
def test_images_are_found_and_skirts_are_not(centre_hz: float) -> None:
    x = band_limited(190e6)
    skirt = 1e-3 * np.cumsum(x)  # falls off with 1/f
    assert spectrum.image_frequency(x + skirt - skirt.mean(), RATE, 200e6) is None
    far = 0.01 * band_limited(100e6, centre_hz)
    found = spectrum.image_frequency(x + far, RATE, 200e6)
    assert found is not None
    assert found == pytest.approx(np.sign(centre_hz) * 270e6, abs=20e6)


def test_no_image_where_the_band_fills_the_capture() -> None:
    assert spectrum.image_frequency(band_limited(800e6), RATE, 800e6) is None


@pytest.mark.parametrize(("stated", "found"), [(200e6, 200e6), (199e6, 199e6), (190e6, 198e6), (60e6, 198e6)])
def test_channels_begin_beyond_a_signal_that_the_stated_bandwidth_cuts(stated: float, found: float) -> None:
    """A flat band of +-99 MHz with a gap inside, over a floor of -50 dB."""
    rng = np.random.default_rng(0)
    count, rate = 65_536, 1e9
    frequency = np.fft.fftfreq(count, 1 / rate)
    inside = (np.abs(frequency) < 99e6) & ~((np.abs(frequency) > 40e6) & (np.abs(frequency) < 44e6))
    shape = np.where(inside, 1.0, 10 ** (-50 / 20))
    x = np.fft.ifft(shape * (rng.normal(size=count) + 1j * rng.normal(size=count)))
    assert spectrum.channel_bandwidth_hz(x, rate, stated) == pytest.approx(found, abs=2.5e6)
    assert (spectrum.channel_bandwidth_hz(x, rate, stated) == stated) is (found == stated)
