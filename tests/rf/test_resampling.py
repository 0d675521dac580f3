from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy import signal

from dpdrun.rf.metrics import Signal, nmse_db
from dpdrun.rf.resampling import PASS, inside, resample, resample_loops, resample_stream

RATIOS = [Fraction(1, 2), Fraction(3, 2), Fraction(25, 48), Fraction(625, 384), Fraction(7, 1)]
TONES = np.random.default_rng(5).uniform(-PASS, PASS, 40)
PHASES = np.random.default_rng(6).uniform(0, 2 * np.pi, 40)


def tones(instants: Signal, lower: float) -> Signal:
    """Known at any instant: tones over the pass band of the lower rate."""
    return np.exp(1j * (2 * np.pi * lower * np.outer(instants, TONES) + PHASES)).sum(axis=1)


@pytest.mark.parametrize("ratio", RATIOS)
def test_samples_are_those_of_the_signal_at_the_new_instants(ratio: Fraction) -> None:
    lower = float(min(ratio, 1))
    found = resample(tones(np.arange(1500), lower), ratio)
    first, end = inside(1500, ratio)
    exact = tones(np.arange(first, end) / float(ratio), lower)
    assert nmse_db(exact, found[first:end]) < -95
    assert len(found) == -(-1500 * ratio.numerator // ratio.denominator)


@pytest.mark.parametrize("ratio", RATIOS)
def test_what_lies_inside_does_not_depend_on_what_surrounds_the_record(ratio: Fraction) -> None:
    x = np.random.default_rng(1).standard_normal(900) + 0j
    first, end = inside(900, ratio)
    around = 2 * ratio.denominator * 96
    longer = resample(np.concatenate([np.ones(around), x, np.ones(300)]), ratio)[int(around * ratio) :]
    apart = np.abs(longer[: end + 14] - resample(np.pad(x, (0, 300)), ratio)[: end + 14])
    assert np.all(apart[first:end] < 1e-12)
    assert max(apart[first - 14 : first]) > 1e-12 < max(apart[end:])  # it could not be wider


def test_what_the_new_rate_cannot_hold_is_stopped() -> None:
    n = np.arange(4000)
    beyond = np.exp(2j * np.pi * 0.28 * n)  # 0.56 of the new rate
    found = resample(beyond, Fraction(1, 2))
    first, end = inside(4000, Fraction(1, 2))
    assert 10 * np.log10(np.mean(np.abs(found[first:end]) ** 2)) < -95


@pytest.mark.parametrize(("loop", "ratio"), [(640, Fraction(1, 2)), (640, Fraction(5, 8)), (96, Fraction(4, 3))])
def test_loops_are_resampled_as_the_periodic_signals_that_they_are(loop: int, ratio: Fraction) -> None:
    rng = np.random.default_rng(2)
    spectrum = np.fft.fft(rng.standard_normal((3, loop)) + 1j * rng.standard_normal((3, loop)), axis=1)
    x = np.fft.ifft(spectrum * (np.abs(np.fft.fftfreq(loop)) < PASS * min(ratio, 1)), axis=1)
    exact = signal.resample(x, int(loop * ratio), axis=1)  # by the Fourier transform of a period
    assert nmse_db(exact.ravel(), resample_loops(x.ravel(), loop, ratio)) < -95


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("sizes", [(5000,), (1, 700, 3000, 40, 9000, 260), (30_000, 8192, 8192, 17)])
def test_a_stream_gives_what_the_complete_record_gives(ratio: Fraction, sizes: tuple[int, ...]) -> None:
    x = np.random.default_rng(3).standard_normal(sum(sizes)) + 0j
    pieces = list(resample_stream(np.split(x, np.cumsum(sizes)[:-1]), ratio))
    assert np.allclose(np.concatenate(pieces), resample(x, ratio), rtol=0, atol=1e-12)


def test_a_stream_holds_little() -> None:
    held = [len(piece) for piece in resample_stream((np.ones(8192) + 0j for _ in range(40)), Fraction(1, 2))]
    assert max(held) <= 2 * 8192
