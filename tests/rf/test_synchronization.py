from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dpdrun.rf.interpolation import REACH
from dpdrun.rf.metrics import nmse_db, one_tap_nmse_db
from dpdrun.rf.synchronization import (
    Synchronization,
    envelope_delay,
    envelope_variance,
    refine,
    refine_by_polynomial,
    synchronize,
)
from dpdrun.rf.synchronization_error import block_estimates, standard_errors
from tests.data.flawed import between, hard, received

N = 20_000

CASES: dict[str, dict[str, Any]] = {
    "37": {"delay": 37},
    "0.498": {"delay": 0.498},
    "offset of 41/128": {"delay": 1, "offset": 41 / 128},
    "offset of 1e-5": {"delay": 1, "offset": 1e-5},
    "100 ppm": {"ppm": 100},
    "all": {"delay": 953.498, "offset": -0.32, "ppm": -200, "dc": 0.3 - 0.1j, "mirror": "swap", "gain": 1e-4},
    "early": {"delay": -40.3, "offset": 0.45, "ppm": 60, "dc": 0.1, "mirror": "conjugate", "gain": 1e4j},
}


@pytest.fixture(scope="module")
def aligned() -> Synchronization:
    """The estimate for the untouched record: the amplifier's own delay and slow phase, which no flaw adds to."""
    x, y = hard()
    found = synchronize(x[:N], y[:N])
    assert found is not None
    return found


@pytest.mark.parametrize("name", CASES)
def test_flaws_are_estimated(name: str, aligned: Synchronization) -> None:
    flaws = CASES[name]
    x, _ = hard()
    found = synchronize(x[:N], received(N + 2000, **flaws))
    assert found is not None
    clock = flaws.get("ppm", 0) * 1e-6
    middle = N / 2
    late = found.position + found.clock * middle - aligned.position - aligned.clock * middle
    assert late == pytest.approx(flaws.get("delay", 0) + clock * middle, abs=0.005)
    turned = found.frequency - flaws.get("offset", 0) - aligned.frequency
    assert abs((turned + 0.5) % 1 - 0.5) < 3e-8  # 0.2 degrees over the record
    assert (found.clock - clock - aligned.clock) * 1e6 == pytest.approx(0, abs=0.3)
    assert found.mirrored == bool(flaws.get("mirror"))


def test_the_output_is_restored() -> None:
    truth = Synchronization(position=953.498, clock=1e-4, frequency=0.32, mirrored=True, dc=0.1j)
    level = np.sqrt(np.mean(np.abs(hard()[1]) ** 2))
    y = received(12_000, delay=953.498, ppm=100, offset=0.32, mirror="conjugate", dc=0.1j / level)
    first, end = truth.overlap(20_000, len(y))
    assert first == 0
    assert truth.instants(end - 1, end)[0] + REACH < len(y) <= truth.instants(end, end + 1)[0] + REACH + 1
    assert nmse_db(between(np.arange(first, end)), truth.restore(y, first, end)) < -60  # white noise reaches 0.5 fs


def test_the_dc_of_the_receiver_is_told_from_that_of_the_transmitter() -> None:
    """They differ by the frequency offset alone: at a quarter of the sample rate, every fourth sample shows it not."""
    samples, offset = 64_008, 0.25
    rng = np.random.default_rng(3)
    x = (rng.standard_normal(samples) + 1j * rng.standard_normal(samples)) / np.sqrt(2)
    y = (x - 0.1 * x * np.abs(x) ** 2 + 0.1) * np.exp(2j * np.pi * offset * np.arange(samples)) + 0.03j
    found = refine_by_polynomial(x, y, Synchronization(frequency=offset), rounds=1)
    assert found.dc == pytest.approx(0.03j, abs=0.005)


def test_what_does_not_belong_together_is_refused() -> None:
    x, y = hard()
    rng = np.random.default_rng(0)
    assert synchronize(x[:N], rng.permutation(y[:N])) is None
    assert synchronize(x[:N], y[50_000 : 50_000 + N]) is None  # the same signal, another stretch


def test_chance_is_known() -> None:
    """Independent records of the same band: the largest of all lags stays below the level that is stated."""
    x, _ = hard()
    levels = [envelope_delay(x[at : at + 2000], x[at + 30_000 : at + 32_000]) for at in range(0, 60_000, 3_000)]
    assert not any(each.found for each in levels)
    assert max(each.correlation for each in levels) > 0.5 * levels[0].by_chance  # it is not a bound of no worth


def test_a_constant_envelope_shows_its_delay_by_its_phase() -> None:
    rng = np.random.default_rng(1)
    steps = np.convolve(rng.standard_normal(6000), np.hanning(16), "same")
    x = np.exp(1j * np.cumsum(0.2 * steps))
    y = np.roll(x, 37) * np.exp(2j * np.pi * 0.05 * np.arange(len(x)))
    assert envelope_variance(x) < 1e-20
    assert envelope_delay(x, y).samples == 37
    assert envelope_delay(x, np.conj(y)).samples == 37


def test_records_of_any_length_and_a_loop_played_again_and_again() -> None:
    x, y = hard()
    assert envelope_delay(x[10_000:14_000], y[:20_000]).samples == 10_000
    looped = np.tile(y[:3000], 5)
    assert envelope_delay(x[:3000], np.roll(looped, 40)).samples == 40  # the nearest of five


def test_a_sound_record_needs_nothing(aligned: Synchronization) -> None:
    assert abs(aligned.position) < 0.05
    assert abs(aligned.clock) < 1e-6
    assert 360 * abs(aligned.frequency) * N < 1.0
    x, y = hard()
    assert one_tap_nmse_db(x[:N], refine(x[:N], y[:N], aligned).restore(y, 0, N)) < -19.9


def test_the_errors_are_those_that_are_made() -> None:
    """Estimates of eight stretches of a record scatter about as they say."""
    x, y = hard()
    found, stated = [], []
    for at in range(0, 96_000, 12_000):
        here = slice(at, at + 12_000)
        each = synchronize(x[here], y[here])
        assert each is not None
        middle = each.position + 6_000 * each.clock
        found.append((middle, each.clock, each.frequency))
        errors = standard_errors(x[here], y[here], each)
        stated.append((errors.delay, errors.clock, errors.frequency))
    ratio = np.std(found, axis=0) / np.median(stated, axis=0)
    assert np.all(ratio > 0.2)
    assert np.all(ratio < 3.0)


def test_blocks_see_what_moves() -> None:
    x, y = hard()
    turned = y[:N] * np.exp(1j * np.linspace(0, 0.2, N))
    blocks = block_estimates(x[:N], turned, Synchronization())
    assert np.polyfit(blocks.centre, np.unwrap(np.angle(blocks.gain)), 1)[0] * N == pytest.approx(0.2, abs=0.02)
