"""A scene of known figures: 64-QAM on five carriers, through amplifiers that are polynomials with noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from dpdrun.data.ofdm import OfdmSettings, ofdm_waveform
from dpdrun.evaluation.plot_data import PlotData, Trace
from dpdrun.rf.linearity import linearity
from dpdrun.rf.metrics import rms

Signal = NDArray[np.complex128]

SETTINGS = OfdmSettings(
    sample_rate_hz=61.44e6, fft=2048, prefix=144, symbols=6, carriers=3, carrier_bins=170, active=156, qam=64
)
BAND = 3 * 170 * 30e3
GAIN = 3.0 - 1.0j


def noisy(x: Signal, db: float, seed: int) -> Signal:
    """x with white noise at `db` below its power."""
    draws = np.random.default_rng(seed).standard_normal((2, len(x)))
    return np.asarray(x + rms(x) * 10 ** (db / 20) * (draws[0] + 1j * draws[1]) / np.sqrt(2), np.complex128)


@pytest.fixture(scope="session")
def x() -> Signal:
    return ofdm_waveform(SETTINGS, np.random.default_rng(5))


@pytest.fixture(scope="session")
def scene_of(x: Signal) -> Callable[..., PlotData]:
    """A scene of outputs by name; stated=False: of a capture that says nothing of itself."""

    def make(reference: Signal, outputs: dict[str, Signal], *, stated: bool = True, split: str = "test") -> PlotData:
        says = {"bandwidth_hz": BAND, "carriers": 3, "grid": SETTINGS.grid} if stated else {}
        traces = [
            Trace(name, reference, y, linearity(reference, y, SETTINGS.sample_rate_hz, **says))  # type: ignore[arg-type]
            for name, y in outputs.items()
        ]
        band, carriers = (BAND, 3) if stated else (None, None)
        rate = SETTINGS.sample_rate_hz
        return PlotData("captures/a", split, True, x[: len(reference)], rate, band, carriers, None, tuple(traces))

    return make


@pytest.fixture(scope="session")
def dpd(x: Signal, scene_of: Callable[..., PlotData]) -> PlotData:
    """Of a predistorter: compressed without, white noise at -40 dB with."""
    wanted = GAIN * x
    level = np.abs(x) / np.max(np.abs(x))
    return scene_of(wanted, {"without": wanted * (1 - 0.2 * level**2), "this run": noisy(wanted, -40, 1)})


@pytest.fixture(scope="session")
def pa(x: Signal, scene_of: Callable[..., PlotData]) -> PlotData:
    """Of an amplifier: measured with noise, modelled by one gain and without the noise."""
    level = np.abs(x) / np.max(np.abs(x))
    true = GAIN * x * (1 - 0.2 * level**2)
    return scene_of(noisy(true, -45, 2), {"one gain": 0.9 * GAIN * x, "model": true})
