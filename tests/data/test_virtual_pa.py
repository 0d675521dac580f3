from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dpdrun.data.ofdm import OfdmSettings, ofdm_waveform
from dpdrun.data.synthetic import PRESETS
from dpdrun.data.virtual_pa import VirtualPA

HARD = PRESETS["hard"].pa
X = ofdm_waveform(OfdmSettings(fft=4096, prefix=288, symbols=3, carrier_bins=167, active=152), np.random.default_rng(0))
X = X * (0.98 / np.max(np.abs(X)))
MEMORYLESS = replace(
    HARD, fir_in=(1.0,), fir_out=(1.0,), aux_late=0.0, bias_threshold=0.0, bias_gain=0.0, trap_droop=0.0
)


def nmse_db(y: np.ndarray, z: np.ndarray) -> float:
    return float(10 * np.log10(np.sum(np.abs(y - z) ** 2) / np.sum(np.abs(y) ** 2)))


def test_a_phase_turn_of_the_input_turns_the_output() -> None:
    turn = np.exp(0.7j)
    assert np.allclose(HARD(X * turn), HARD(X) * turn, atol=1e-12)


def test_it_loops_time_invariantly() -> None:
    shifted = HARD(np.roll(X, 500))
    assert np.allclose(shifted, np.roll(HARD(X), 500), atol=1e-6)


def test_the_memoryless_core_is_a_function_of_the_envelope() -> None:
    order = np.random.default_rng(1).permutation(len(X))
    assert np.allclose(MEMORYLESS(X[order]), MEMORYLESS(X)[order], atol=1e-12)


def test_small_signals_see_gain_one() -> None:
    tiny = replace(MEMORYLESS, aux_gain=0.0)(1e-3 * X)
    assert np.allclose(tiny / (1e-3 * X), 1.0, atol=1e-3)


@pytest.mark.parametrize(
    "change",
    [
        {"fir_in": (1.0,)},
        {"fir_out": (1.0,)},
        {"aux_gain": 0.0},
        {"main_phase_rad": 0.0},
        {"aux_late": 0.0},
        {"bias_threshold": 0.0},
        {"bias_gain": 0.0},
        {"trap_droop": 0.0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_trait_is_above_the_noise_floor_of_the_hard_preset(change: dict[str, object]) -> None:
    without: VirtualPA = replace(HARD, **change)  # type: ignore[arg-type]
    left = nmse_db(HARD(X), without(X))
    assert -56 < left < 0


def test_traps_remember_a_burst_for_thousands_of_samples() -> None:
    quiet = np.full(20_000, 0.2 + 0j)
    burst = quiet.copy()
    burst[5000:6000] = 0.9
    pa = replace(MEMORYLESS, trap_droop=HARD.trap_droop)
    gain = np.abs(pa(burst) / burst)
    before, soon, late = gain[4900], gain[6100], gain[19_900]
    assert soon < before
    assert soon < late
