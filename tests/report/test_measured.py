"""What recommend measured, on a terminal."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from dpdrun.data.sizing import DataReading
from dpdrun.plan.probe_result import ProbeReading
from dpdrun.report.advice import probe_lines, reading_lines
from dpdrun.report.layout import progress_bar

READING = DataReading(
    name="opendpd/X", train_samples=58_980, val_samples=19_660, loop_samples=None, memory=20, memory_at_least=False,
    ahead=0, ahead_gain_db=0.0, polynomial_db=-37.9, floor_db=-41.1, floor_caveat="white", rungs=((1, -20.0),),
    ahead_rungs=((0, -37.9),),
)  # fmt: skip
PROBE = ProbeReading(
    device="CPU, 1 thread", seconds=58.2, seeds=3, rates_tried=100, lr=0.013, lr_low=0.008, lr_high=0.02, lr_open=False,
    curve=tuple((10.0**-i, -float(i)) for i in range(4, 0, -1)), norms={10: 0.1, 50: 0.2, 90: 0.4, 99: 1.0},
    norm_steps=150, step_s=0.0123, samples_per_s=166_504.0, score_s=0.1, peak_mib=140.0,
)  # fmt: skip


def shown(parts: list[object]) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    for part in parts:
        console.print(part)
    return " ".join(console.export_text().split())


def test_reading() -> None:
    text = shown(list(reading_lines(READING)))
    assert "opendpd/X: 58,980 training and 19,660 validation samples; memory 20 samples (least-squares ladder)" in text
    assert "best polynomial -37.9 dB on validation; noise floor -41.1 dB: 3.2 dB left" in text


def test_a_polynomial_beyond_every_window_is_not_promised_alone() -> None:
    this = replace(READING, memory=512, near_memory=20, slow_gain_db=4.2, rungs=((20, -33.7), (512, -37.9)))
    text = shown(list(reading_lines(this)))
    assert "best polynomial -37.9 dB over 512 samples, -33.7 dB over 20, on validation; noise floor" in text


def test_reading_says_what_is_not_known() -> None:
    this = replace(READING, floor_db=None, floor_caveat="no quiet band", memory=1, memory_at_least=True)
    text = shown(list(reading_lines(this)))
    assert "memory at least 1 sample (" in text
    assert "noise floor unknown: no quiet band" in text


def test_reading_at_the_noise_and_its_warnings() -> None:
    text = shown(list(reading_lines(replace(READING, polynomial_db=-41.2, warnings=("the output comes late",)))))
    assert "noise floor -41.1 dB: nothing left" in text
    assert "warning: the output comes late" in text


def test_probe() -> None:
    text = shown(list(probe_lines(PROBE)))
    assert "probe: 58 s on CPU, 1 thread: 12.3 ms per step, 166,504 samples/s, 140 MiB for training; " in text
    assert "; an evaluation takes 0.1 s" in text
    assert "1e-04 -4.0, 1e-03 -3.0" in text
    assert "90 % 0.4, 99 % 1 of 150 are below" in text


def test_probe_says_what_it_cut() -> None:
    text = shown(list(probe_lines(replace(PROBE, norms={}, cut=("2 of 3 seeds", "no gradient norms")))))
    assert "skipped to finish in time: 2 of 3 seeds; no gradient norms" in text
    assert "gradient norms at lr" not in text
    assert "cut" not in shown(list(probe_lines(PROBE)))


def test_progress_bar_is_silent_without_a_terminal() -> None:
    console = Console(record=True, force_terminal=False)
    with progress_bar(console) as report:
        report(0.5, "timing steps")
    assert console.export_text() == ""
