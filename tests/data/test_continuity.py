from __future__ import annotations

import numpy as np

from dpdrun.data.continuity import splice_excess_db
from dpdrun.data.ofdm import OfdmSettings, ofdm_waveform

SETTINGS = OfdmSettings(fft=4096, prefix=288, symbols=3, carrier_bins=167, active=152)


def test_running_on_and_jumping_are_told_apart() -> None:
    x = ofdm_waveform(SETTINGS, np.random.default_rng(1))
    cuts = range(4000, 8000, 500)
    running = [splice_excess_db(x[:cut], x[cut:]) for cut in cuts]
    jumping = [splice_excess_db(x[:cut], x[cut + 1000 :]) for cut in cuts]
    assert len(running) == 8
    assert max(running) < 5  # type: ignore[type-var]
    assert min(jumping) > 15  # type: ignore[type-var]


def test_a_gain_step_is_a_jump() -> None:
    x = ofdm_waveform(SETTINGS, np.random.default_rng(1))
    excess_db = splice_excess_db(x[:6000], 1.3 * x[6000:])
    assert excess_db is not None
    assert excess_db > 10


def test_too_short_to_tell() -> None:
    x = ofdm_waveform(SETTINGS, np.random.default_rng(1))
    assert splice_excess_db(x[:100], x[100:]) is None
    assert splice_excess_db(x[:5000], x[5000:5010]) is None
