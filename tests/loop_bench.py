"""A bench with a virtual amplifier, whose delay, gain and phase are others in each capture."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from numpy.typing import NDArray

from dpdrun.data.ofdm import OfdmSettings
from dpdrun.data.synthetic import PRESETS
from dpdrun.loop.folder import LoopFolder
from dpdrun.loop.rounds import take
from dpdrun.loop.state import LoopState

RATE, BANDWIDTH = 983.04e6, 200e6
NOISE_DB = -45.0
SETTINGS = OfdmSettings(fft=4096, prefix=288, symbols=2, carrier_bins=166, active=152)
GAINS_DB = (0.1, -0.2, 0.3, -0.1, 0.25, 0.0)  # of the bench, by round
Samples = NDArray[np.complex128]


def amplifier(u: Samples) -> Samples:
    """The output of the virtual amplifier for a looping waveform."""
    return PRESETS["hard"].pa(u)


@dataclass
class Bench:
    """A loop in a folder, with the bench that plays its waveforms."""

    folder: LoopFolder
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    def waveform(self, number: int) -> Samples:
        """What the generator reads from the file of a round."""
        return np.asarray(scipy.io.loadmat(self.folder.path / f"waveform-{number}.mat")["x"][:, 0], complex)

    def capture(self, number: int, *, periods: float = 2.0, noise_db: float = NOISE_DB) -> Samples:
        """Play the waveform of a round in a loop, and capture it from anywhere, late by a fraction of a sample.

        The gain drifts, and the phase is arbitrary.
        """
        y = amplifier(self.waveform(number))
        late = self.rng.uniform(0, len(y))
        y = np.fft.ifft(np.fft.fft(y) * np.exp(-2j * np.pi * np.fft.fftfreq(len(y)) * late))
        y = np.resize(y, int(periods * len(y)))
        y = y * 10 ** (GAINS_DB[number] / 20) * np.exp(2j * np.pi * self.rng.uniform())
        return y + self.noise(len(y), noise_db + 10 * np.log10(np.mean(np.abs(y) ** 2)))

    def noise(self, samples: int, power_db: float) -> Samples:
        """White noise of a power."""
        white = self.rng.normal(size=samples) + 1j * self.rng.normal(size=samples)
        return np.asarray(white * np.sqrt(10 ** (power_db / 10) / 2), complex)

    def file(self, y: Samples, name: str = "capture.npy") -> Path:
        """Write a capture; return its path."""
        path = self.folder.path.parent / name
        np.save(path, y)
        return path

    def next(self, y: Samples, **options: Any) -> LoopState:
        """Give a capture to the loop."""
        return take(self.folder, self.file(y), **options)

    def run(self, rounds: int, **options: Any) -> LoopState:
        """Play, capture and continue so many rounds."""
        state = self.folder.read()
        for _ in range(rounds):
            state = self.next(self.capture(state.waiting.round, **options))
        return state
