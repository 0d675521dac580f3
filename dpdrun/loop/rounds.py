"""One round: take the capture that came back, score it, and write the next waveform."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from dpdrun.errors import DataError, RunError
from dpdrun.loop.bench import Bench
from dpdrun.loop.folder import LoopFolder
from dpdrun.loop.learning import learnt_change, reach_of
from dpdrun.loop.measurement import AlignedOutput, RawCapture, align_output, loop_offset, read_capture
from dpdrun.loop.scores import score
from dpdrun.loop.state import LoopState, Measurement, Outcome, Round, Scores
from dpdrun.loop.waveform import write_waveform
from dpdrun.rf.memory_polynomial import fitted
from dpdrun.rf.metrics import Signal, nmse_db, one_tap_gain, to_db

GROWTH, SMALLEST_STEP = 1.5, 1 / 64  # of the step: after a round that helped, up to 1; after ones that did not
NO_AMPLIFIER_DB = -80.0  # error of a capture against its waveform; the rounding to 16 bits leaves about -90
SAME_WAVEFORM_DB = 10.0  # by which a capture is closer to that of another round than the waveforms are to each other
ANOTHER_DB, ANOTHER_OVER_DB = (
    -20.0,
    10.0,
)  # unexplained, in round 0 and over that of round 0: another waveform was played
NEAR_ORIGINAL_DB = 1.0  # of the ACLR of the original
CHANGED_DB = 0.5  # of the bench's gain; a cable or a temperature changes less
BELOW_TARGET_DB = 0.1  # of the gain, that the peak limit costs
GAINED_DB, PATIENCE = 0.1, 2  # improvement over so many rounds that is worth another one


Predistorted = Callable[[int], Signal]


def take(
    folder: LoopFolder,
    path: Path,
    *,
    output: str | None = None,
    columns: str | None = None,
    output_rate_hz: float | None = None,
    predistorted: Predistorted | None = None,
) -> LoopState:
    """Take the measurement of the waiting round, and write the next waveform.

    Args:
        folder: of the loop.
        path: the capture.
        output, columns, output_rate_hz: as `read_capture`.
        predistorted: for method model, returns the original through the predistorter of a round, (N,) complex128.

    Raises:
        RunError: there is no loop, another process works on it, or a file cannot be written.
        DataError: the capture cannot be read, or is not the output for the waiting waveform.
    """
    with folder.lock():
        state = folder.read()
        capture = read_capture(
            path, state.sample_rate_hz, output=output, columns=columns, output_rate_hz=output_rate_hz
        )
        _refuse_repeated(state, capture)
        state = _measured(folder, state, capture)
        state = _continued(folder, state, predistorted)
        folder.write(state)
    return state


def _refuse_repeated(state: LoopState, capture: RawCapture) -> None:
    for each in state.rounds:
        if each.measurement is not None and each.measurement.sha256 == capture.sha256:
            raise DataError(
                f"{capture.name}: the same samples are already the measurement of round {each.round} "
                f"({each.measurement.file}); play {state.waiting.waveform.file} and capture that"
            )


def _measured(folder: LoopFolder, state: LoopState, capture: RawCapture) -> LoopState:
    """Return the state with the measurement of the waiting round, its scores and what follows for the step."""
    number = state.waiting.round
    u, original = folder.waveform(number), folder.waveform(0)
    bench = None if number == 0 else Bench.of(folder)
    for waveform in (u, original) if number else (u,):
        _refuse_waveform(waveform, capture)
    expected = u if bench is None else bench.predict(u)
    aligned = align_output(expected, capture)
    if bench is None:
        bench, change = Bench(aligned.of(u), aligned.y), 1.0 + 0j
    else:
        change = one_tap_gain(aligned.of(expected), aligned.y)
        _refuse_other_round(folder, state, bench, expected, aligned, capture)
    target = abs(bench.target_gain)
    scores = score(state, aligned.of(original), aligned.y, target_gain=target, gain_change=abs(change))
    rates = {"sample_rate_hz": state.sample_rate_hz, "bandwidth_hz": state.bandwidth_hz}
    stated = {name: rate for name, rate in rates.items() if rate is not None}
    kept = aligned.y if state.method == "ilc" else aligned.y / change  # a network is trained on one gain in all rounds
    folder.write_measured(number, aligned.first, aligned.of(u), kept, stated)
    outcome, step, best = _judged(state, scores)
    measured = state.waiting.model_copy(
        update={
            "measurement": _described(state, u, capture, aligned, change), "scores": scores, "outcome": outcome,
        }
    )  # fmt: skip
    state = state.model_copy(
        update={
            "target_gain_db": to_db(target**2), "step": step, "best_round": best,
            "rounds": (*state.rounds[:-1], measured),
        }
    )  # fmt: skip
    measured = measured.model_copy(update={"messages": tuple(_messages(state))})
    return state.model_copy(update={"rounds": (*state.rounds[:-1], measured)})


def _described(
    state: LoopState, u: Signal, capture: RawCapture, aligned: AlignedOutput, change: complex
) -> Measurement:
    return Measurement(
        file=capture.name,
        sha256=capture.sha256,
        samples=len(capture.y),
        used_samples=len(aligned.y),
        periods=aligned.periods,
        delay_samples=aligned.delay_samples,
        frequency_offset_hz=aligned.found.frequency * state.sample_rate_hz,
        clock_ppm=aligned.found.clock * 1e6,
        conjugated=aligned.found.mirrored,
        reach=capture.reach,
        gain_change_db=to_db(abs(change) ** 2),
        phase_change_deg=float(np.degrees(np.angle(change))),
        unexplained_db=_difference_db(fitted(aligned.of(u), aligned.y)(aligned.of(u)), aligned.y),
    )


def _judged(state: LoopState, scores: Scores) -> tuple[Outcome, float, int]:
    """Return whether the waiting round is better than the best one, the next step, and which is the best one now."""
    number, best = state.waiting.round, state.best
    if best is None or best.scores is None:
        return "first", state.step, number
    if scores.nmse_db < best.scores.nmse_db:
        return "better", min(1.0, state.step * GROWTH), number
    return "worse", max(SMALLEST_STEP, state.step / 2), best.round


def _continued(folder: LoopFolder, state: LoopState, predistorted: Predistorted | None) -> LoopState:
    """Return the state with the next round, whose waveform is written."""
    best = state.best
    assert best is not None
    u, original = folder.waveform(best.round), folder.waveform(0)
    if predistorted is None:
        change = _learnt(folder, state, best, u, original)
    else:
        proposed = predistorted(best.round)  # turned by the phase of the bench, which a part of a step must not mix in
        change = proposed * np.exp(-1j * np.angle(one_tap_gain(u, proposed))) - u
    number = state.waiting.round + 1
    played = write_waveform(
        folder, state, number, u + state.step * change, based_on=best.round, original=original, step=state.step
    )
    return state.model_copy(update={"rounds": (*state.rounds, Round(round=number, waveform=played))})


def _learnt(folder: LoopFolder, state: LoopState, best: Round, u: Signal, original: Signal) -> Signal:
    assert best.measurement is not None
    first, _, y = folder.measured(best.round)
    drift = 10 ** (best.measurement.gain_change_db / 20) * np.exp(1j * np.radians(best.measurement.phase_change_deg))
    reach = reach_of(state.bandwidth_hz, state.sample_rate_hz, best.measurement.reach)
    return learnt_change(u, first, y / drift, Bench.of(folder).target_gain * original, reach)


def _refuse_waveform(u: Signal, capture: RawCapture) -> None:
    """Raise DataError for a capture that is a waveform itself: the one that was to be played, or the original."""
    looped = u[(loop_offset(u, capture.y) + np.arange(len(capture.y))) % len(u)]
    if nmse_db(capture.y, one_tap_gain(looped, capture.y) * looped) < NO_AMPLIFIER_DB:
        raise DataError(f"{capture.name}: this is the waveform itself, not the output of an amplifier that played it")


def _refuse_other_round(
    folder: LoopFolder, state: LoopState, bench: Bench, expected: Signal, aligned: AlignedOutput, capture: RawCapture
) -> None:
    """Raise DataError for a capture of the waveform of an earlier round.

    It differs from the capture of that round by noise alone, far less than the waveforms do. In compression an output
    changes less than its input, so the smaller difference of waveforms and predicted outputs counts.
    """
    at = (aligned.first + np.arange(len(aligned.y))) % state.samples
    for earlier in state.rounds[:-1]:
        first, _, y = folder.measured(earlier.round)
        before = np.zeros(state.samples, np.complex128)
        before[(first + np.arange(len(y))) % state.samples] = y
        both = before[at] != 0
        found_db = _difference_db(before[at][both], aligned.y[both])
        other = folder.waveform(earlier.round)
        expected_db = min(
            _difference_db(bench.predict(other), expected),
            _difference_db(other, folder.waveform(state.waiting.round)),
        )
        if found_db < expected_db - SAME_WAVEFORM_DB:
            own = state.waiting.waveform.file
            raise DataError(
                f"{capture.name}: this is the output for {earlier.waveform.file} of round {earlier.round}: it differs "
                f"from that measurement by {found_db:.1f} dB only, the waveforms by {expected_db:.1f} dB; play {own} "
                "and capture that"
            )


def _difference_db(a: Signal, b: Signal) -> float:
    return nmse_db(b, one_tap_gain(a, b) * a)


def _messages(state: LoopState) -> list[str]:
    """Return what the user should know about the round that was just measured."""
    this, best = state.waiting, state.best
    measurement, scores = this.measurement, this.scores
    assert measurement is not None
    assert scores is not None
    assert best is not None
    assert best.scores is not None
    found = []
    if measurement.used_samples < state.samples:
        found.append(
            f"{state.samples - measurement.used_samples:,} samples of the waveform were not captured and keep their "
            "value; capture more than one period"
        )
    if abs(measurement.gain_change_db) > CHANGED_DB:
        found.append(
            f"the gain of the bench has changed by {measurement.gain_change_db:+.2f} dB since round 0, at equal drive: "
            "does the generator scale each waveform to full scale, or the analyser its range? It is taken out here"
        )
    if this.outcome == "worse":
        found.append(
            f"round {this.round} is {scores.nmse_db - best.scores.nmse_db:.2f} dB worse than round {best.round}: the "
            f"step is now {state.step:g}, and the next waveform continues from round {best.round}"
        )
    found += _another_waveform(state)
    if this.round and this.waveform.limited_samples and scores.gain_over_target_db < -BELOW_TARGET_DB:
        found.append(
            f"{this.waveform.limited_samples:,} samples are at the peak limit, and the gain is "
            f"{-scores.gain_over_target_db:.2f} dB below its target: a new loop with a higher --peak-db could reach it"
        )
    own, reached = state.original_aclr_dbc, scores.aclr_worse_dbc
    if own is not None and reached is not None and reached < own + NEAR_ORIGINAL_DB:
        found.append(
            f"the ACLR is that of the original waveform itself, {own:.2f} dBc: no predistortion gets below it; if it "
            "has to be lower, begin a loop with a waveform that is filtered better"
        )
    if _is_settled(state):
        found.append(
            f"the last {PATIENCE} rounds gained less than {GAINED_DB:g} dB: what is left is mostly the noise of the "
            f"measurement; the best waveform is {best.waveform.file}"
        )
    return found


def _another_waveform(state: LoopState) -> list[str]:
    """Return a warning where the waveform does not explain the capture as well as that of round 0 did."""
    measurement, first = state.waiting.measurement, state.rounds[0].measurement
    if measurement is None or measurement.unexplained_db is None or first is None:
        return []
    most = (
        ANOTHER_DB
        if first.unexplained_db is None or not state.waiting.round
        else first.unexplained_db + ANOTHER_OVER_DB
    )
    if measurement.unexplained_db < most:
        return []
    return [
        f"{state.waiting.waveform.file} leaves {measurement.unexplained_db:.1f} dB of this capture unexplained, more "
        f"than {most:.1f} dB: was another waveform played, or is there more noise? `dpdrun loop drop` takes the round "
        "back"
    ]


def drop(folder: LoopFolder) -> LoopState:
    """Take the last measured round back: its waveform waits for another capture.

    Raises:
        RunError: there is no loop, another process works on it, or no round was measured.
    """
    state = folder.read()
    with folder.lock():
        if len(state.rounds) < 2:
            raise RunError(f"{folder.path}: no round was measured yet")
        last, waiting = state.rounds[-2], state.rounds[-1]
        again = Round(round=last.round, waveform=last.waveform)
        folder.remove_runs(last.round)
        kept = state.model_copy(update={"rounds": (), "step": 1.0, "best_round": None})
        for each in state.rounds[:-2]:
            assert each.scores is not None
            kept = kept.model_copy(update={"rounds": (*kept.rounds, each)})
            _, step, best = _judged(kept, each.scores)
            kept = kept.model_copy(update={"step": step, "best_round": best})
        target = state.target_gain_db if last.round else None
        state = kept.model_copy(update={"rounds": (*kept.rounds, again), "target_gain_db": target})
        folder.write(state)
        folder.remove_round(waiting.round, waiting.waveform.file)
        folder.measured_file(last.round).unlink(missing_ok=True)
    return state


def _is_settled(state: LoopState) -> bool:
    scored = [each.scores.nmse_db for each in state.rounds if each.scores is not None]
    return len(scored) > PATIENCE and min(scored[:-PATIENCE]) - min(scored) < GAINED_DB
