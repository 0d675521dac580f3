from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import pytest

from dpdrun.data.capture import Capture, Part, SourceRecord
from dpdrun.data.resampling import exact_ratio, resampled
from dpdrun.errors import DataError
from dpdrun.recipe.schema import DataSection
from dpdrun.rf.metrics import Signal, nmse_db
from tests.data.flawed import hard

N = 12_000
RATE = 983.04e6


@cache
def periodic(samples: int = N) -> tuple[Signal, Signal]:
    """An input of 200 MHz and a cubic function of it, as one period of a record: known exactly at any rate."""
    rng = np.random.default_rng(4)
    inside = np.abs(np.fft.fftfreq(samples)) < 0.1
    x = np.fft.ifft(inside * (rng.standard_normal(samples) + 1j * rng.standard_normal(samples)) * np.sqrt(samples))
    return x, 2 * x - 0.3 * x * np.abs(x) ** 2


def capture(x: Signal, y: Signal, **settings: Any) -> Capture:
    return Capture.from_arrays(x, y, sample_rate_hz=RATE, **settings)


def at_rate(x: Signal, ratio: float) -> Signal:
    """The same period at another rate, by its Fourier series."""
    spectrum, length = np.fft.fftshift(np.fft.fft(x)), round(len(x) * ratio)
    more = (length - len(x)) // 2
    spectrum = np.pad(spectrum, more) if more > 0 else spectrum[-more : len(x) + more]
    return np.fft.ifft(np.fft.ifftshift(spectrum)) * ratio


@pytest.mark.parametrize(("rate", "ratio"), [(2 * RATE, 2.0), (0.75 * RATE, 0.75)])
def test_input_and_output_are_at_the_new_instants(rate: float, ratio: float) -> None:
    x, y = periodic()
    found = capture(x, y, resample_to_hz=rate)
    done = found.resampling
    assert done is not None
    assert (found.sample_rate_hz, done.from_hz, done.pass_band_hz) == (rate, RATE, 0.45 * min(rate, RATE))
    first = round(done.first_instant * ratio)
    for signal, of in ((found.train.x, x), (found.train.y, y)):
        assert nmse_db(at_rate(of, ratio)[first : first + len(signal)], signal) < -90
    assert "Resampled by " in found.note


def test_no_sample_depends_on_what_was_not_recorded() -> None:
    """A gain stays a gain up to both ends, for input and output pass the same filter of the same samples."""
    x, _ = periodic()
    found = capture(x, 3j * x, resample_to_hz=RATE / 2)
    assert all(np.allclose(part.y, 3j * part.x, rtol=1e-12) for part in found.parts.values())
    exact = at_rate(x, 0.5)
    first = round(found.resampling.first_instant / 2)  # type: ignore[union-attr]
    assert abs(found.train.x[0] - exact[first]) < 1e-4 * np.abs(exact).max()


def test_equal_samples_and_rates_are_an_equal_job_on_every_machine() -> None:
    x, y = periodic()
    there = capture(x, y, resample_to_hz=RATE / 2)
    assert there.sha256 == capture(x, y, resample_to_hz=RATE / 2).sha256
    others = [capture(x, y), capture(x, 2 * y, resample_to_hz=RATE / 2), capture(x, y, resample_to_hz=0.75 * RATE)]
    assert there.sha256 not in {other.sha256 for other in others}


def test_after_alignment() -> None:
    x, y = hard()
    late = np.concatenate([np.zeros(37), y[: N - 37]])
    found = capture(x[:N], late, align="auto", resample_to_hz=0.75 * RATE)
    aligned = capture(x[: N - 37], y[: N - 37], resample_to_hz=0.75 * RATE)
    assert found.alignment is not None
    assert found.alignment.values.delay_samples == 37
    count = len(found.train) - 50  # the end of the split is another guard away
    assert np.allclose(found.train.y[:count], aligned.train.y[:count], atol=1e-9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"resample_to_hz": 200e6},
            r"keeps frequencies up to \+-90 MHz, but the input reaches .* it takes",
        ),
        ({"resample_to_hz": 400e6, "bandwidth_hz": 370e6, "check_rates": "off"}, r"\+-180 MHz, .* \+-185 MHz"),
        ({"resample_to_hz": 200.0}, "not plausible; in Hz"),
        ({"resample_to_hz": 1.0000001e9}, "no fraction .*; the nearest rate is 1000000105"),
    ],
)
def test_what_cannot_be_meant_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        capture(*periodic(), **settings)


def test_lost_regrowth_is_said() -> None:
    x, y = periodic()
    found = capture(x, y, resample_to_hz=RATE * 0.3)
    assert any("dB of the output's power are beyond +-132.7 MHz and are lost" in line for line in found.warnings)
    assert not capture(x, y, resample_to_hz=RATE * 0.75).warnings


def test_the_rate_of_the_source_changes_nothing() -> None:
    x, y = periodic()
    assert capture(x, y, resample_to_hz=RATE).sha256 == capture(x, y).sha256


def test_loops_stay_loops() -> None:
    x, y = periodic(640)
    part = Part(*(np.concatenate([np.roll(each, shift) for shift in range(0, 640, 32)]) for each in (x, y)))
    reading = SourceRecord("loops", (part, part, part), sample_rate_hz=RATE, nperseg=640)
    section = DataSection(source="loops", resample_to_hz=RATE / 2)
    (train, *_), nperseg = (record := resampled(reading, section)[0]).records, record.nperseg
    assert (len(train), nperseg) == (len(part) // 2, 320)
    assert nmse_db(part.x[::2], train.x) < -90  # its band is far below the new rate
    with pytest.raises(DataError, match=r"its loops of 640 samples would have 213\.33"):
        resampled(reading, section.model_copy(update={"resample_to_hz": RATE / 3}))


def test_the_cuts_of_a_source_are_at_the_same_instants() -> None:
    x, y = periodic()
    reading = SourceRecord("cut", (Part(x, y),), sample_rate_hz=RATE, cuts=(6_001, 9_000))
    new, section, done = resampled(reading, DataSection(source="cut", resample_to_hz=RATE / 2))
    assert done is not None
    assert new.cuts is not None
    instants = [done.first_instant + cut * 2 for cut in new.cuts]
    assert instants == [6_002, 9_000]
    assert section.sample_rate_hz == "auto"
    assert new.sample_rate_hz == RATE / 2


def test_fractions() -> None:
    assert exact_ratio(491.52e6, 983.04e6) == Fraction(1, 2)
    assert exact_ratio(500e6, 983.04e6) == Fraction(3125, 6144)
