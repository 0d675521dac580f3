"""Rounds of a loop against a virtual amplifier, scored independently of dpdrun."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.signal import resample_poly, welch

from dpdrun.errors import DataError, RunError
from dpdrun.loop.folder import LoopFolder
from dpdrun.loop.rounds import drop, take
from dpdrun.loop.state import LoopState
from dpdrun.run import files as run_files
from tests.loop_bench import BANDWIDTH, GAINS_DB, RATE, Bench, Samples, amplifier


def nmse_db(x: Samples, y: Samples) -> float:
    """The error of y against its best linear fit to x."""
    fit = np.linalg.lstsq(x[:, None], y, rcond=None)[0][0] * x
    return float(20 * np.log10(np.linalg.norm(y - fit) / np.linalg.norm(fit)))


def aclr_db(y: Samples) -> float:
    """Power of the worse adjacent band of 200 MHz over that of the signal."""
    frequency, density = welch(y, RATE, "hann", 2048, return_onesided=False, detrend=False)

    def power(low: float, high: float) -> float:
        return float(np.sum(density[(frequency >= low) & (frequency < high)]))

    half = BANDWIDTH / 2
    sides = power(-3 * half, -half), power(half, 3 * half)
    return float(10 * np.log10(max(sides) / power(-half, half)))


def test_the_amplifier_becomes_linear_within_four_rounds(continued: Bench, original: Samples) -> None:
    bench, state = continued, continued.folder.read()
    assert state.best_round == 3
    before, after = amplifier(original), amplifier(bench.waveform(state.best_round))
    assert nmse_db(original, after) < nmse_db(original, before) - 15  # measured: 20.8 dB
    assert aclr_db(after) < aclr_db(before) - 20  # measured: 25.6 dB
    scores = [each.scores for each in state.rounds[:-1]]
    for each, waveform in zip(scores, range(4), strict=True):
        assert each is not None
        clean = amplifier(bench.waveform(waveform))
        with_noise = 10 * np.log10(10 ** (nmse_db(original, clean) / 10) + 10 ** (-48 / 10))  # the mean of two periods
        assert each.nmse_db == pytest.approx(with_noise, abs=0.5)


@pytest.mark.parametrize("name", ["rounds", "rounds/0", "rounds/0/dpd"])
def test_a_loop_whose_parts_are_links_out_of_it_is_refused(bench: Bench, name: str, tmp_path: Path) -> None:
    place = bench.folder.path / name
    if place.exists():
        place.rename(tmp_path / "outside")
    place.symlink_to(tmp_path / "outside")
    with pytest.raises(RunError, match=f"{name}: a symlink out of this folder"):
        bench.folder.read()


def test_drift_of_the_bench_is_told_from_what_the_waveform_changed(continued: Bench) -> None:
    state = continued.folder.read()
    changes = [each.measurement.gain_change_db for each in state.rounds if each.measurement is not None]
    assert changes == pytest.approx([gain - GAINS_DB[0] for gain in GAINS_DB[:4]], abs=0.05)
    assert state.rounds[3].scores is not None
    assert abs(state.rounds[3].scores.gain_over_target_db) < 0.1


def test_no_waveform_exceeds_its_limits(continued: Bench, original: Samples, started: Callable[..., LoopState]) -> None:
    for number in range(5):
        u = continued.waveform(number)
        assert np.max(np.abs(u)) <= np.max(np.abs(original)) * (1 + 1e-12)
        assert np.mean(np.abs(u) ** 2) <= np.mean(np.abs(original) ** 2) * (1 + 1e-12)
    started(peak_db=2.0)
    other = Bench(LoopFolder(continued.folder.path.parent / "other"))
    peaks = [each.waveform.peak_db for each in other.run(2).rounds]
    assert peaks[0] == 0.0
    assert 0.1 < max(peaks) <= 2.0


def test_mean_power_has_a_limit_of_its_own(bench: Bench, original: Samples) -> None:
    state = bench.folder.read()
    tight = state.limits.model_copy(update={"average": state.limits.average * 0.8})
    bench.folder.write(state.model_copy(update={"limits": tight}))
    bench.run(1)
    assert np.sqrt(np.mean(np.abs(bench.waveform(1)) ** 2)) == pytest.approx(
        0.8 * np.sqrt(np.mean(np.abs(original) ** 2))
    )


def test_a_worse_round_halves_the_step_and_continues_from_the_best(bench: Bench) -> None:
    bench.run(1)
    u = bench.folder.waveform(0)
    whole_step = bench.folder.waveform(1) - u
    state = bench.next(bench.capture(1, noise_db=-10))
    assert (state.rounds[1].outcome, state.step, state.best_round) == ("worse", 0.5, 0)
    assert "worse than round 0" in state.rounds[1].messages[0]
    assert state.waiting.waveform.based_on == 0
    assert np.linalg.norm(bench.folder.waveform(2) - u - whole_step / 2) < 0.1 * np.linalg.norm(whole_step)
    state = bench.next(bench.capture(2))
    assert (state.rounds[2].outcome, state.step, state.best_round) == ("better", 0.75, 2)


def test_rounds_that_gain_nothing_are_called_settled(continued: Bench) -> None:
    state = continued.folder.read()
    assert not any("gained less" in message for each in state.rounds for message in each.messages)
    state = continued.run(2, noise_db=-25)
    assert "gained less than 0.1 dB" in state.rounds[-2].messages[-1]
    assert "waveform-3.mat" in state.rounds[-2].messages[-1]


@pytest.mark.parametrize(
    "change",
    [
        lambda y: y * np.exp(2j * np.pi * 2e-4 * np.arange(len(y))),  # another local oscillator
        lambda y: 1j * np.conj(y),  # I and Q swapped
        lambda y: np.concatenate([1e-3 * y[4000:], y[: len(y) // 2], 1e-3 * y[:7001]]),  # on for one period
        lambda y: np.concatenate([1e-4 * y[::-1], y[: len(y) // 2], 1e-4 * y[:3000:-1]]),  # between noise
    ],
)
def test_captures_of_another_receiver(bench: Bench, four_rounds: Path, change: Callable[[Samples], Samples]) -> None:
    plain = LoopFolder(four_rounds).read().rounds[0].scores
    scores = bench.next(change(bench.capture(0))).rounds[0].scores
    assert plain is not None
    assert scores is not None
    assert scores.nmse_db == pytest.approx(plain.nmse_db, abs=0.1)
    assert scores.aclr_worse_dbc == pytest.approx(plain.aclr_worse_dbc, abs=0.1)


def test_where_the_capture_begins_is_recorded(bench: Bench, original: Samples) -> None:
    y = np.roll(np.tile(amplifier(original), 2), 1234)
    state = bench.next(y)
    found = state.rounds[0].measurement
    assert found is not None
    assert found.delay_samples == pytest.approx(1234, abs=0.5)  # the amplifier's own delay is a fraction of a sample
    assert (found.used_samples, found.samples) == (len(original), 2 * len(original))


def test_one_period_leaves_the_ends_of_the_filter_unmeasured(bench: Bench) -> None:
    state = bench.run(1, periods=1.0)
    measured = state.rounds[0].measurement
    assert measured is not None
    assert 0 < state.samples - measured.used_samples < 300
    assert "were not captured" in state.rounds[0].messages[0]


def test_another_sample_rate_is_resampled_on_request(bench: Bench) -> None:
    y = bench.capture(0)
    path = bench.folder.path.parent / "fast.npz"
    np.savez(path, y=resample_poly(y, 5, 4), sample_rate_hz=RATE * 1.25)
    with pytest.raises(DataError, match=r"states a sample rate of 1,228,800,000 Hz.*--output-rate-hz 1228800000"):
        take(bench.folder, path)
    state = take(bench.folder, path, output_rate_hz=RATE * 1.25)
    assert state.rounds[0].scores is not None
    assert state.rounds[0].scores.aclr_worse_dbc == pytest.approx(aclr_db(amplifier(bench.waveform(0))), abs=0.2)


def hostile(bench: Bench) -> Iterator[tuple[str, Samples, str]]:
    """Captures that are refused in round 2: what, samples, and a part of the message."""
    period = bench.folder.read().samples
    yield "short", bench.capture(2)[: period - 1], "capture at least one period"
    yield "other", bench.noise(2 * period, 0.0), "not the output for the waveform of this loop"
    yield "the waveform", np.tile(bench.waveform(2), 2), "the waveform itself"
    yield "the original", np.tile(bench.waveform(0), 2), "the waveform itself"
    yield "an older one", bench.capture(1), "output for waveform-1.mat of round 1"
    yield "the original", bench.capture(0), "output for waveform-0.mat of round 0"
    yield "silent", np.zeros(2 * period, complex), "zero"
    yield "broken", np.where(np.arange(2 * period) == 99, np.nan, bench.capture(2)), "sample 99|row 99|finite"


def test_what_is_not_the_measurement_is_refused(bench: Bench) -> None:
    bench.run(1)
    second = bench.capture(1)
    bench.next(second)
    before = bench.folder.state_file.read_text()
    for what, y, message in hostile(bench):
        with pytest.raises(DataError) as refused:
            bench.next(y)
        assert re.search(message, str(refused.value)), what
        assert bench.folder.state_file.read_text() == before, what
    with pytest.raises(DataError, match=r"already the measurement of round 1 .*play waveform-2\.mat"):
        bench.next(second)
    with pytest.raises(DataError, match="no such file"):
        take(bench.folder, Path("nowhere.mat"))


def test_a_dropped_round_can_be_measured_again(bench: Bench) -> None:
    bench.run(1)
    state, files, y = bench.folder.read(), contents(bench), bench.capture(1)
    slightly_other = y * np.where(np.arange(len(y)) % len(bench.waveform(1)) < 1500, 1j, 1)
    changed = bench.next(slightly_other)
    assert any("was another waveform played" in message for message in changed.rounds[1].messages)
    assert not any("another waveform" in message for message in state.rounds[0].messages)
    assert drop(bench.folder) == state
    assert contents(bench) == files
    assert not any("another waveform" in message for message in bench.next(y).rounds[1].messages)
    drop(bench.folder)
    drop(bench.folder)
    with pytest.raises(RunError, match="no round was measured yet"):
        drop(bench.folder)


def test_the_aclr_of_the_original_is_the_limit(bench: Bench, original: Samples) -> None:
    state = bench.folder.read()
    assert state.original_aclr_dbc == pytest.approx(aclr_db(original), abs=0.5)
    bench.folder.write(state.model_copy(update={"original_aclr_dbc": -20.0}))
    assert any("no predistortion gets below it" in message for message in bench.run(1).rounds[0].messages)


def test_a_changed_level_is_reported(bench: Bench) -> None:
    bench.run(1)
    state = bench.next(bench.capture(1) * 1.5)
    assert any("gain of the bench has changed by" in message for message in state.rounds[1].messages)
    assert state.rounds[1].outcome == "better"


def contents(bench: Bench) -> dict[Path, bytes]:
    """The files of a loop, but for loop.json, which holds the time."""
    folder = bench.folder
    return {
        path: path.read_bytes() for path in folder.path.rglob("*.*") if path.is_file() and path != folder.state_file
    }


class Killed(BaseException):
    """Ends the process at a write."""


def test_killed_at_any_write_the_same_command_gives_the_same_files(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.run(1)
    before, y = bench.folder.state_file.read_bytes(), bench.capture(1)
    replace, written = Path.replace, list[str]()

    def dies(at: int) -> Callable[..., Any]:
        def counted(self: Path, target: Any) -> Path:
            if len(written) == at:
                raise Killed
            written.append(Path(target).name)
            return replace(self, target)

        return counted

    for at, last in ((1, "measured.npz"), (3, "waveform-2.mat")):
        written.clear()
        monkeypatch.setattr(run_files.Path, "replace", dies(at))
        with pytest.raises(Killed):
            bench.next(y)
        assert written[-1] == last
        assert bench.folder.state_file.read_bytes() == before
    monkeypatch.undo()
    bench.next(y)
    state, again = bench.folder.read(), contents(bench)
    bench.folder.state_file.write_bytes(before)
    assert bench.next(y) == state
    assert contents(bench) == again
    assert not list(bench.folder.path.rglob("*.partial"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ('{"schema_version": 99}', "update dpdrun"),
        ('{"schema_version": 1, "samples": []}', "the file is damaged"),
    ],
)
def test_a_damaged_state_is_named(bench: Bench, text: str, message: str) -> None:
    bench.folder.state_file.write_text(text)
    with pytest.raises(RunError, match=message):
        bench.folder.read()


def test_a_lost_file_is_named(bench: Bench) -> None:
    bench.run(1)
    bench.folder.measured_file(0).write_bytes(b"nothing")
    with pytest.raises(RunError, match=r"measured\.npz: cannot be read"):
        bench.next(bench.capture(1))


def test_two_processes_at_once(bench: Bench) -> None:
    pytest.importorskip("fcntl")
    with bench.folder.lock(), pytest.raises(RunError, match="another process is working on this loop"):
        bench.next(bench.capture(0))


def test_the_state_is_plain_json(bench: Bench) -> None:
    state = bench.run(1)
    assert LoopState.model_validate(json.loads(bench.folder.state_file.read_text())) == state
