from __future__ import annotations

import numpy as np
import pytest

from dpdrun.data.assemble import assemble
from dpdrun.data.capture import Part, SourceRecord
from dpdrun.data.continuity import is_cyclic_frames, splice_excess_db
from dpdrun.data.ofdm import OfdmSettings, ofdm_waveform
from dpdrun.recipe.schema import DataSection

SETTINGS = OfdmSettings(fft=4096, prefix=288, symbols=3, carrier_bins=167, active=152)


def test_continuity_and_jumps_are_separated() -> None:
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


FRAME = 2000


def periodic_frames(count: int, *, seed: int = 0) -> np.ndarray:
    """Frames that each run on from their end to their beginning, one after the other: (count * FRAME,)."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.fft(rng.standard_normal((count, FRAME)) + 1j * rng.standard_normal((count, FRAME)), axis=1)
    spectrum[:, 200:-200] = 1e-4 * spectrum[:, 200:-200]
    return np.fft.ifft(spectrum, axis=1).ravel()


def test_looped_frames_are_separated_from_one_long_record() -> None:
    settings = OfdmSettings(fft=4096, prefix=288, symbols=3, carrier_bins=167, active=152)
    assert is_cyclic_frames(periodic_frames(6), FRAME)
    assert not is_cyclic_frames(ofdm_waveform(settings, np.random.default_rng(0)), FRAME)


@pytest.mark.parametrize("frame", [FRAME - 1, FRAME // 2, 2 * FRAME, 500, 40, 10**6])
def test_another_length_is_not_believed(frame: int) -> None:
    assert not is_cyclic_frames(periodic_frames(6), frame)


def test_frames_that_only_jump_are_not_cyclic() -> None:
    cut = periodic_frames(8).reshape(8, FRAME)[:, : FRAME - 300].ravel()
    assert not is_cyclic_frames(cut, FRAME - 300)


def capture_of(x: np.ndarray, nperseg: int | None) -> int | None:
    part = Part(x, 2 * x)
    reading = SourceRecord(name="d", records=(part, part, part), sample_rate_hz=1e9, nperseg=nperseg)
    return assemble(reading, DataSection(source="d")).loop_samples


def test_the_capture_knows_frames_that_were_seen() -> None:
    assert capture_of(periodic_frames(4), FRAME) == FRAME
    assert capture_of(periodic_frames(4), None) == FRAME  # seen, though not stated
    assert capture_of(periodic_frames(4), 1999) == FRAME
    assert capture_of(periodic_frames(4)[: 3 * FRAME + 700], FRAME) is None  # no whole number of frames
