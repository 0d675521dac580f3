"""Where the error is: its level along the record, a rise behind the start, stretches that repeat."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dpdrun.diagnosis.signal import error_position
from dpdrun.diagnosis.signal.error_position import excess, nmse_by_position, repeat, rise

Signal = NDArray[np.complex128]
N = 8000


def noise(seed: int) -> Signal:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(N) + 1j * rng.standard_normal(N)) / np.sqrt(2)


Y, E, AT = noise(0), 0.1 * noise(1), np.arange(N)


def test_nmse_of_each_piece() -> None:
    p = Y + E * (1 + 9 * (AT >= N // 2))
    by_piece = nmse_by_position(Y, p, 10)
    assert by_piece[:5] == pytest.approx([-20.0] * 5, abs=0.7)
    assert by_piece[5:] == pytest.approx([0.0] * 5, abs=0.7)
    silent = np.where(AT < N // 10, 0, Y)
    assert np.isnan(nmse_by_position(silent, p, 10)[0])


def test_excess_does_not_know_the_level() -> None:
    """An error that is proportional to the signal, in a record that grows by 40 dB."""
    growing = Y * 10 ** (2 * AT / N)
    values = excess(growing, growing * (1 + E))
    assert np.mean(values) == pytest.approx(1.0)
    assert np.mean(values[: N // 2]) == pytest.approx(np.mean(values[N // 2 :]), rel=0.1)


@pytest.mark.parametrize("start", [320, 1000, 3600])
def test_rise_is_found_with_its_size(start: int) -> None:
    found = rise(excess(Y, Y + E * np.where(start > AT, 1.0, 10.0)))
    assert 0.7 * start < found["start_samples"] < 1.3 * start  # half-octaves are tried
    assert found["rise_db"] == pytest.approx(20.0, abs=1.0)
    assert found["rise_z"] > 20


def test_level_record_has_no_rise_to_speak_of() -> None:
    assert rise(excess(Y, Y + E)).get("rise_z", 0.0) < 4


@pytest.mark.parametrize(("period", "edge", "first"), [(200, 10, 0), (333, 40, 17), (64, 4, 60), (900, 128, 700)])
def test_stretches_that_come_back(period: int, edge: int, first: int) -> None:
    inside = (AT - first) % period < edge
    values = excess(Y, Y + E * np.where(inside, 10.0, 1.0))
    found = repeat(Y, values)
    assert found is not None
    assert found.period == period
    assert (found.at - first + period // 2) % period - period // 2 == pytest.approx(0, abs=edge)
    assert found.db == pytest.approx(20.0, abs=2.0)  # the stretches that are tried are a third of their length apart
    assert found.cost_db == pytest.approx(10 * np.log10(1 + 99 * edge / period), abs=2.0)
    assert found.z > 6


def test_a_known_period_is_tried_where_none_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    values = excess(Y, Y + E * np.where(AT % 400 < 2, 6.0, 1.0))
    monkeypatch.setattr(error_position, "_candidates", lambda values: [])
    assert repeat(Y, values) is None
    found = repeat(Y, values, extra=(400, 20, N))  # the others are shorter and longer than a period may be
    assert found is not None
    assert (found.period, found.at) == (400, 0)


def test_period_of_the_signal_is_none_of_the_error() -> None:
    waveform = np.tile(Y[:500], N // 500)
    p = waveform + np.tile(E[:500] * (1 + 9 * (AT[:500] < 20)), N // 500)
    found = repeat(waveform, excess(waveform, p))
    assert found is None or found.z < 3
    other = repeat(Y, excess(Y, Y + p - waveform))
    assert other is not None
    assert other.period == 500


def test_short_record() -> None:
    assert repeat(Y[:100], excess(Y[:100], Y[:100] + E[:100])) is None
