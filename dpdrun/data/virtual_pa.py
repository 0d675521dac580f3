"""A virtual power amplifier with the traits of a GaN Doherty stage, built so that none of our models contains it.

    x -> input matching (FIR) -> main + auxiliary branch -> trap droop -> output matching (FIR) -> y

- The main branch compresses (Rapp 1991) with an amplitude-dependent phase (Saleh 1981, doi 10.1109/TCOM.1981.1094911).
- The auxiliary branch turns on softly above a threshold, a little later and with its own phase: a knee, which no
  polynomial of low order has.
- The bias of both follows the envelope through a low-pass of some tens of nanoseconds (nonlinear memory): the
  threshold and the gain move with the recent power.
- Traps charge fast and discharge slowly (as in GaN, see Jardel 2007, doi 10.1109/TMTT.2007.904052): a gain that drifts
  with the history of peaks, over thousands of samples.

The output is a deterministic function of the (looping) input; measurement noise is added elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SETTLED = 1e-9  # change of the trapped power over one loop, relative to the mean power
MAX_ROUNDS = 50


@dataclass(frozen=True)
class VirtualPA:
    """Settings; amplitudes are relative to the peak of the input, times are in samples.

    Attributes:
        fir_in, fir_out: complex taps of the matching networks.
        main_limit, main_sharpness: saturation amplitude and Rapp exponent of the main branch.
        main_phase_rad: phase that the main branch approaches in saturation.
        aux_threshold, aux_knee: where the auxiliary branch turns on and how softly.
        aux_gain, aux_phase_rad: its slope above the threshold, and its phase at full drive.
        aux_late: delay of the auxiliary path, 0 to 1 sample.
        bias_samples: time constant of the bias low-pass.
        bias_threshold, bias_gain: how far recent power (at the mean power of the signal) moves threshold and gain.
        trap_capture_samples, trap_release_samples: time constants of the traps.
        trap_droop: relative gain lost per unit of trapped power over the mean power.
    """

    fir_in: tuple[complex, ...]
    fir_out: tuple[complex, ...]
    main_limit: float
    main_sharpness: float
    main_phase_rad: float
    aux_threshold: float
    aux_knee: float
    aux_gain: float
    aux_phase_rad: float
    aux_late: float
    bias_samples: float
    bias_threshold: float
    bias_gain: float
    trap_capture_samples: float
    trap_release_samples: float
    trap_droop: float

    def __call__(self, x: NDArray[np.complex128]) -> NDArray[np.complex128]:
        """Return the output for one period of a periodic input.

        Args:
            x: (N,) complex128.

        Returns:
            (N,) complex128; all states are those of the steady loop, so there is no turn-on transient.
        """
        u = _loop_fir(x, self.fir_in)
        envelope = np.abs(u)
        power = envelope**2 / np.mean(envelope**2)
        bias = _loop_lowpass(power, self.bias_samples) - 1.0
        direction = np.exp(1j * np.angle(u))

        relative = envelope / self.main_limit
        amplitude = envelope / (1.0 + relative ** (2 * self.main_sharpness)) ** (0.5 / self.main_sharpness)
        phase = self.main_phase_rad * relative**2 / (1.0 + relative**2)
        main = amplitude * (1.0 + self.bias_gain * bias) * np.exp(1j * phase) * direction

        threshold = self.aux_threshold * (1.0 + self.bias_threshold * bias)
        late = _loop_fir(u, (1.0 - self.aux_late, self.aux_late))
        drive = self.aux_knee * np.logaddexp(0.0, (np.abs(late) - threshold) / self.aux_knee)  # a soft max(0, .)
        turn = self.aux_phase_rad * drive / (1.0 - self.aux_threshold)
        aux = self.aux_gain * drive * np.exp(1j * (turn + np.angle(late)))

        trapped = _loop_traps(power, self.trap_capture_samples, self.trap_release_samples)
        droop = 1.0 - self.trap_droop * (trapped - np.mean(trapped))
        return _loop_fir((main + aux) * droop, self.fir_out)


def _loop_fir(x: NDArray[np.complex128], taps: tuple[complex, ...]) -> NDArray[np.complex128]:
    result = np.zeros_like(x)
    for delay, tap in enumerate(taps):
        result += tap * np.roll(x, delay)
    return result


def _loop_lowpass(power: NDArray[np.float64], samples: float) -> NDArray[np.float64]:
    """Filter by a one-pole low-pass with unit gain at 0 Hz: on a periodic signal a product of spectra."""
    pole = np.exp(-1.0 / samples)
    response = (1.0 - pole) / (1.0 - pole * np.exp(-2j * np.pi * np.fft.fftfreq(len(power))))
    return np.fft.ifft(np.fft.fft(power) * response).real


def _loop_traps(power: NDArray[np.float64], capture: float, release: float) -> NDArray[np.float64]:
    """Model trapped charge: it follows rising power fast and falling power slowly. Iterates until periodic."""
    up, down = 1.0 - np.exp(-1.0 / capture), 1.0 - np.exp(-1.0 / release)
    charge, trapped = 0.0, np.empty_like(power)
    for _ in range(MAX_ROUNDS):
        start = charge
        for index, now in enumerate(power.tolist()):  # a recursion with a branch: no numpy form
            charge += (up if now > charge else down) * (now - charge)
            trapped[index] = charge
        if abs(charge - start) < SETTLED:
            break
    return trapped
