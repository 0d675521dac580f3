"""Captures with flaws that no number of a clean record shows: each is made here, with its right value."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import yaml

from dpdrun.data.assemble import assemble
from dpdrun.data.capture import Capture, Part, SourceRecord
from dpdrun.data.inspection import Inspection, inspect_capture
from dpdrun.recipe.schema import DataSection
from dpdrun.rf.metrics import Signal
from tests.data.flawed import hard, received

N = 10_000
ALL = 13_000
RATE = 983.04e6


def capture_of(x: Signal, y: Signal, *, train: int = N, bandwidth_hz: float | None = None) -> Capture:
    """The training split is at the start, validation and test behind it."""
    rest = (len(x) - train) // 2
    pieces = [slice(0, train), slice(train, train + rest), slice(train + rest, len(x))]
    parts = [Part(np.asarray(x[at], np.complex128), np.asarray(y[at], np.complex128)) for at in pieces]
    return Capture("flawed", RATE, bandwidth_hz, None, "yours", "", *parts)


def inspected(y: Signal, x: Signal | None = None) -> Inspection:
    x = hard()[0] if x is None else x
    length = min(len(x), len(y), ALL)
    return inspect_capture(capture_of(x[:length], y[:length]))


def matching(facts: Inspection, pattern: str) -> re.Match[str]:
    found = [match for warning in facts.warnings if (match := re.search(pattern, warning))]
    assert found, facts.warnings
    return found[0]


def test_a_sound_record_has_no_warning() -> None:
    facts = inspected(hard()[1])
    assert facts.warnings == ()
    assert facts.frequency_offset_hz == 0
    assert facts.clock_ppm == 0
    assert facts.envelope_variance == pytest.approx(1.0, abs=0.1)


def test_nothing_is_known_of_strangers() -> None:
    facts = inspected(np.random.default_rng(0).permutation(hard()[1][:ALL]))
    assert (facts.delay_samples, facts.delay_ns, facts.image_dbc, facts.offset_y_db) == (None, None, None, None)
    assert all(part.gain_db is None for part in facts.parts.values())
    assert facts.correlation < 0.1
    assert len(facts.warnings) == 1  # and no image, no step of the gain, no shift
    matching(facts, "hardly correlated")


@pytest.mark.parametrize("offset", [1e-5, 41 / 128])
def test_a_frequency_offset_is_named_and_hides_nothing(offset: float) -> None:
    facts = inspected(received(ALL, delay=1, offset=offset))
    named = matching(facts, r"frequency offset of \+?([-0-9.,e+]+) Hz .*data\.align: auto")
    assert float(named[1].replace(",", "")) == pytest.approx(offset * RATE, abs=50)
    assert facts.delay_samples == pytest.approx(1.0, abs=0.03)
    assert facts.parts["train"].gain_db == pytest.approx(0.1, abs=0.05)
    assert facts.parts["val"].gain_db is None
    assert facts.image_dbc is not None
    assert facts.image_dbc < -50


@pytest.mark.parametrize("ppm", [20])
def test_a_clock_offset_is_named(ppm: float) -> None:
    facts = inspected(received(ALL, ppm=ppm))
    named = matching(facts, r"sample clock of the output is \+([0-9.]+) ppm off: .* over 9,[0-9]+")
    assert float(named[1]) == pytest.approx(ppm, abs=0.2)


@pytest.mark.parametrize(("delay", "said"), [(953, "953.0")])
def test_a_delay_leaves_the_other_numbers_alone(delay: float, said: str) -> None:
    facts = inspected(received(ALL, delay=delay))
    matching(facts, rf"the output comes {said[:-2]}\.?\d* samples|the output comes {int(delay) - 1}\.9\d samples")
    assert facts.delay_samples == pytest.approx(delay, abs=0.02)
    assert facts.parts["train"].gain_db == pytest.approx(0.1, abs=0.05)
    assert facts.image_dbc is not None
    assert facts.image_dbc < -50


def test_a_fraction_of_a_sample_is_no_fault_but_known() -> None:
    facts = inspected(received(ALL, delay=0.498))
    assert facts.delay_samples == pytest.approx(0.498, abs=0.02)


@pytest.mark.parametrize(("db", "at"), [(-12.0, 4_000), (-3.0, 6_000)])
def test_a_step_of_the_drive_level(db: float, at: int) -> None:
    x, y = (side[:ALL].copy() for side in hard())
    for side in (x, y):
        side[at:N] *= 10 ** (db / 20)
    facts = inspected(y, x)
    step = matching(facts, r"level of the train input steps by ([-+0-9.]+) dB at sample ([0-9,]+)")
    assert float(step[1]) == pytest.approx(db, abs=0.5)
    assert int(step[2].replace(",", "")) == pytest.approx(at, abs=20 if db < -6 else 400)


def test_a_drift_inside_a_split() -> None:
    """The phase moves from -2.4 to +2.0 degrees over the first 6,000 samples of 10,000."""
    turn = np.interp(np.arange(ALL), [0, 6_000], np.radians([-2.4, 2.0]))
    facts = inspected(hard()[1][:ALL] * np.exp(1j * turn))
    drift = matching(facts, r"inside the train split: phase by ([0-9.]+) deg.* from sample ([0-9,]+) to ([0-9,]+)")
    assert float(drift[1]) == pytest.approx(4.2, abs=0.5)
    assert int(drift[2].replace(",", "")) < 1_500
    assert int(drift[3].replace(",", "")) == pytest.approx(5_500, abs=800)
    grows = hard()[1][:ALL] * np.interp(np.arange(ALL), [0, 6_000], [1.0, 1.06])
    assert float(matching(inspected(grows), r"gain by ([0-9.]+) dB")[1]) == pytest.approx(0.5, abs=0.07)


def looped(frame: int, count: int) -> tuple[Signal, Signal]:
    """Frames of a band-limited signal, each in a loop through a filter with a loop's memory."""
    rng = np.random.default_rng(3)
    band = np.abs(np.fft.fftfreq(frame)) < 0.1
    spectra = (rng.standard_normal((count, frame)) + 1j * rng.standard_normal((count, frame))) * band
    x = np.fft.ifft(spectra, axis=1) * np.sqrt(frame)
    y = x + 0.2j * np.roll(x, 1, axis=1) - 0.02 * x * np.abs(x) ** 2
    return x.ravel(), y.ravel()


def test_symbols_that_follow_each_other_are_no_loops() -> None:
    """Each symbol is periodic, but the amplifier remembers the one before it."""
    x, _ = looped(1000, 30)
    y = x + 0.2j * np.roll(x, 1) - 0.02 * x * np.abs(x) ** 2
    facts = inspect_capture(
        assemble(SourceRecord("symbols", (Part(x, y),), sample_rate_hz=RATE), DataSection(source="s"))
    )
    assert not any("loops" in each for each in facts.warnings)
    parts = tuple(Part(x[a:b], y[a:b]) for a, b in ((0, 20_000), (20_000, 25_000), (25_000, 30_000)))
    reading = SourceRecord("symbols", parts, sample_rate_hz=RATE, nperseg=1000)  # type: ignore[arg-type]
    assert assemble(reading, DataSection(source="s")).loop_samples is None


@pytest.mark.parametrize("stated", [None, 2560])
def test_loops_of_any_length_are_found(stated: int | None) -> None:
    """Loops of 1,280 samples where the source states 2,560, or nothing."""
    x, y = looped(1280, 20)
    parts = tuple(Part(x[a:b], y[a:b]) for a, b in ((0, 15_360), (15_360, 20_480), (20_480, 25_600)))
    reading = SourceRecord("loops", parts, sample_rate_hz=RATE, nperseg=stated)  # type: ignore[arg-type]
    capture = assemble(reading, DataSection(source="loops"))
    assert capture.loop_samples == 1280
    matching(inspect_capture(capture), "sequence of frames of 1,280 samples")


@pytest.mark.parametrize("count", [30, 7])
def test_loops_that_the_splits_cut_are_named(count: int) -> None:
    """Loops of 1,000 samples in one record: the default split cuts them, that of the message does not."""
    x, y = looped(1000, count)
    reading = SourceRecord("loops", (Part(x, y),), sample_rate_hz=RATE)
    facts = inspect_capture(assemble(reading, DataSection(source="loops")))
    message = next(each for each in facts.warnings if "sequence of loops of 1,000 samples" in each)
    advised = yaml.safe_load(message.partition("data.split: ")[2])
    section = DataSection.model_validate({"source": "loops", "split": advised})
    assert assemble(reading, section).loop_samples == 1000


def phase_modulated(kind: str) -> Signal:
    n = np.arange(ALL)
    if kind == "tone":
        return np.asarray(np.exp(2j * np.pi * 0.0312 * n), np.complex128)
    if kind == "GMSK":
        bits = np.repeat(np.random.default_rng(0).choice([-1.0, 1.0], ALL // 16 + 1), 16)[:ALL]
        pulse = np.exp(-0.5 * ((np.arange(-32, 33)) / 7.0) ** 2)
        return np.asarray(np.exp(0.5j * np.pi / 16 * np.cumsum(np.convolve(bits, pulse / pulse.sum(), "same"))))
    x = hard()[0][:ALL]
    half = np.arccos(np.abs(x) / np.abs(x).max())
    return np.asarray(np.exp(1j * (np.angle(x) + half)), np.complex128)  # a branch of an outphasing pair


@pytest.mark.parametrize("kind", ["tone", "GMSK", "outphasing"])
def test_a_constant_envelope_cannot_show_am_am(kind: str) -> None:
    x = phase_modulated(kind)
    noise = np.random.default_rng(1).standard_normal((2, len(x)))
    facts = inspected(2 * x + 0.01 * (noise[0] + 1j * noise[1]), x)
    matching(facts, r"constant envelope .* cannot show AM/AM .*; is it the whole input\?")
    assert facts.envelope_variance < 0.01
    assert not any(re.search("saturates|comes .* samples|hardly|image", warning) for warning in facts.warnings)


def test_a_second_input_is_a_question() -> None:
    x, y = (side[:ALL] for side in hard())
    other = hard()[0][40_000 : 40_000 + ALL] * np.exp(2j * np.pi * 0.3 * np.arange(ALL))
    facts = inspected(y + 0.7 * other, x)
    assert float(matching(facts, r"not explained by this input: (-[0-9.]+) dB")[1]) == pytest.approx(-4.8, abs=1.0)
    assert inspected(y, x).unexplained_db is None


def test_dc_by_chance_is_no_fault() -> None:
    """2,400 samples of a signal that fills 6 % of the band have a mean of about -21.5 dB of their power."""
    rng = np.random.default_rng(2)
    spectrum = (rng.standard_normal(2400) + 1j * rng.standard_normal(2400)) * (np.abs(np.fft.fftfreq(2400)) < 0.03)
    spectrum[0] = np.sqrt(2.0) * np.exp(1j)  # as strong as any other frequency
    x = np.fft.ifft(spectrum) * 50
    y = x * (1 - 0.02 * np.abs(x) ** 2)
    facts = inspect_capture(capture_of(np.tile(x, 3), np.tile(y, 3), train=2400))
    assert facts.dc_x_db > -25
    assert not any("DC" in warning for warning in facts.warnings)
    with_dc = inspect_capture(capture_of(np.tile(x + 0.4, 3), np.tile(y, 3), train=2400))
    assert any("the input has DC" in warning for warning in with_dc.warnings)


def test_a_cyclic_prefix_is_not_a_looping_record() -> None:
    """A split inside an OFDM symbol: the prefix is before it, the samples that the prefix repeats are after it."""
    rng = np.random.default_rng(5)
    spectra = (rng.standard_normal((6, 4096)) + 1j * rng.standard_normal((6, 4096))) * (
        np.abs(np.fft.fftfreq(4096)) < 0.1
    )
    symbols = np.fft.ifft(spectra, axis=1) * 60
    x = np.concatenate([symbols[:, -288:], symbols], axis=1).ravel()
    y = x * (1 - 0.02 * np.abs(x) ** 2)
    cut = 3 * 4384 + 288 + 4096 - 280  # a snippet of the validation split is all of what the prefix repeats
    assert np.allclose(x[cut : cut + 256], x[cut - 4096 :][:256])
    assert not any("also occurs" in warning for warning in inspect_capture(capture_of(x, y, train=cut)).warnings)
    again = replace(capture_of(x, y, train=cut), test=Part(x[:6000], y[:6000]))
    assert any("100% of the test input also occurs" in warning for warning in inspect_capture(again).warnings)


def test_a_saturated_converter_is_still_found() -> None:
    x, y = (side[:ALL] for side in hard())
    clipped = np.clip(y.real, -0.5, 0.5) + 1j * y.imag
    matching(inspected(clipped, x), "of the output are at the extreme of I or Q: a converter saturates")
    grid = np.round(y * 256) / 256  # a coarse converter that does not saturate
    assert not any("saturates" in warning for warning in inspected(grid, x).warnings)
