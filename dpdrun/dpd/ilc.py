"""Iterative learning control (ILC): find the input with which an amplifier gives a target output.

    u[0] = x,   u[k + 1] = limit( u[k] + mu L (target - plant(u[k])) )

L is the learning filter. With L = 1 / gain this is the linear algorithm of Chani-Cahuana, Landin, Fager and Eriksson,
"Iterative learning control for RF power amplifier linearization", IEEE Trans. Microw. Theory Techn. 64(9), 2778-2789,
2016, doi 10.1109/TMTT.2016.2588483. At frequencies that its training signal left empty, though, a PA model has an
arbitrary gain and phase, and where that phase is over 90 degrees the error grows with each iteration. So L is the
damped inverse of the amplifier's frequency response, measured with a small probe on top of the signal, and it is zero
beyond the adjacent channels, where the model was not trained. (On APA_200MHz_b through a Transformer this ends at
-80 dB within reach, and a gmp fitted to it has an objective of -52.3 dB, by indirect learning -47.4 dB.)

The step mu is halved until it lowers the error, and grows again afterwards. The result is a waveform, not a
predistorter: one is fitted to the pair (x, u) afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dpdrun.dpd.limiter import limit_magnitude
from dpdrun.dpd.target_gain import Plant
from dpdrun.rf.metrics import Signal, nmse_db, one_tap_gain, rms, to_db

ITERATIONS = 40
GOOD_DB = -80.0  # float32 models add errors near this level, and no predistorter reaches it
HALVINGS = 7  # of the step, at one iteration
GROWTH = 1.5  # of the step after one that helped, up to 1
TOLERANCE_DB, PATIENCE = 0.02, 3  # stop after this many iterations in a row with a smaller gain
PROBE = 1e-3  # rms of the probe over that of the input: small against the signal, large against float32 rounding
PROBE_BINS = 256  # of the response by frequency
DAMPING = 0.3  # added to |H|^2 in units of the gain squared, so that the inverse of a notch stays small

Reason = Literal["target reached", "improvement below tolerance", "no improving step", "iteration limit"]


@dataclass(frozen=True, eq=False)
class ILCResult:
    """The result of the iterations.

    Attributes:
        u: input of the amplifier, (N,) complex128.
        history_db: error within reach over the target, of x alone first [dB].
        nmse_db: of the output against the target, at all frequencies [dB].
        reason: why the iterations ended.
    """

    u: Signal
    history_db: tuple[float, ...]
    nmse_db: float
    reason: Reason


def learn_input(
    plant: Plant, x: Signal, target: Signal, peak: float, *, reach: float = 0.5, iterations: int = ITERATIONS
) -> ILCResult:
    """Find the input that gives a target output.

    Args:
        plant: the amplifier, deterministic.
        x: the first input, (N,) complex128, at least PROBE_BINS samples.
        target: (N,) complex128.
        peak: limit on |u|; inf = none.
        reach: frequency up to which u is changed, as a share of the sample rate; 0.5 = all.
        iterations: upper limit.

    Raises:
        ValueError: the output of the plant is not finite, or has another shape than its input.
    """

    inside = within(reach, len(x))
    power = float(np.sum(np.abs(np.fft.fft(target)) ** 2))

    def respond(u: Signal) -> tuple[Signal, NDArray[np.complex128], float]:
        """Return output, spectrum of the error within reach, and its power over that of the target [dB]."""
        y = plant(u)
        if y.shape != target.shape or not np.all(np.isfinite(y)):
            raise ValueError("the amplifier's output is not finite, or not as long as its input")
        error = inside * np.fft.fft(target - y)
        return y, error, to_db(float(np.sum(np.abs(error) ** 2)) / power)

    u = limit_magnitude(x, peak)
    y, error, error_db = respond(u)
    history, step, idle = [error_db], 1.0, 0
    inverse = _damped_inverse(plant, u, y)
    reason: Reason = "iteration limit"
    for _ in range(iterations):
        if error_db <= GOOD_DB:
            reason = "target reached"
            break
        change = np.fft.ifft(inverse * error)
        for _ in range(HALVINGS + 1):
            trial = limit_magnitude(u + step * change, peak)
            trial_response = respond(trial)
            if trial_response[2] < error_db:
                break
            step /= 2.0
        else:
            reason = "no improving step"
            break
        idle = idle + 1 if error_db - trial_response[2] < TOLERANCE_DB else 0
        u, (y, error, error_db) = trial, trial_response
        history.append(error_db)
        if idle == PATIENCE:
            reason = "improvement below tolerance"
            break
        step = min(1.0, step * GROWTH)
    return ILCResult(u, tuple(history), nmse_db(target, y), reason)


def within(reach: float, samples: int) -> NDArray[np.float64]:
    """Return 1 at the FFT frequencies within reach, 0 beyond, with a slope of 1/64 of the sample rate: (N,).

    Args:
        reach: as a share of the sample rate; 0.5 = all.
        samples: N.
    """
    if reach >= 0.5:
        return np.ones(samples)
    slope = (reach - np.abs(np.fft.fftfreq(samples))) * PROBE_BINS / 4 + 0.5
    return np.asarray(slope.clip(0.0, 1.0), np.float64)


def _damped_inverse(plant: Plant, u: Signal, y: Signal) -> NDArray[np.complex128]:
    """Return the damped inverse of the response around u, at the FFT frequencies of the record: (N,)."""
    frequency, response = _response(plant, u, y)
    gain = abs(one_tap_gain(u, y))
    inverse = np.conj(response) / (np.abs(response) ** 2 + DAMPING * gain**2)
    at = np.fft.fftfreq(len(u))
    real, imag = (np.interp(at, frequency, part, period=1.0) for part in (inverse.real, inverse.imag))
    return np.asarray(real + 1j * imag, np.complex128)


def _response(plant: Plant, u: Signal, y: Signal) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
    """Return ascending frequencies as shares of the sample rate, and the small-signal response: (PROBE_BINS,) each."""
    from scipy.signal import csd

    draw = np.random.Generator(np.random.PCG64(0))
    noise = draw.normal(size=len(u)) + 1j * draw.normal(size=len(u))
    probe = PROBE * rms(u) / np.sqrt(2.0) * noise
    change = plant(u + probe) - y
    frequency, cross = csd(probe, change, nperseg=PROBE_BINS, return_onesided=False, detrend=False)
    _, power = csd(probe, probe, nperseg=PROBE_BINS, return_onesided=False, detrend=False)
    order = np.argsort(frequency)
    return frequency[order], np.asarray((cross / power)[order], np.complex128)
