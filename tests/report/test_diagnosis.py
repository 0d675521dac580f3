"""A diagnosis on the terminal."""

from __future__ import annotations

import math

from rich.console import Console

from dpdrun.diagnosis import diagnose_facts
from dpdrun.report.diagnosis import diagnosis_view, verdict_line
from dpdrun.rules.examples import example_run
from dpdrun.rules.facts import RunFacts


def shown(run: RunFacts) -> str:
    console = Console(width=160, no_color=True)
    with console.capture() as capture:
        console.print(diagnosis_view(diagnose_facts(run), "runs/x"), highlight=False)
    return capture.get()


def test_verdict_counts_by_severity() -> None:
    run = example_run(norm=lambda t: 0.1 * 10**t, loss=0.1, clip_norm=200.0, realised=1e-5)
    line = verdict_line(diagnose_facts(run), "runs/x").plain
    assert line == "runs/x: 1 error, 1 warning, 1 note; 400 of 400 steps"


def test_note_leaves_a_run_healthy() -> None:
    line = verdict_line(diagnose_facts(example_run(norm=0.05, clip_norm=200.0)), "runs/x").plain
    assert line == "runs/x: healthy: 1 note; 400 of 400 steps"


def test_run_without_steps_is_unknown() -> None:
    line = verdict_line(diagnose_facts(RunFacts(total_steps=100)), "runs/x").plain
    assert line == "runs/x: unknown: nothing could be judged yet; 0 of 100 steps"


def test_gmp_has_no_steps() -> None:
    run = RunFacts(kind="gmp", total_steps=0, eval_step=[0], eval_nmse_db=[-39.0], one_tap_db=-20.0)
    text = shown(run)
    assert text.startswith("runs/x: healthy: nothing to report; a least-squares fit, validation NMSE -39.00 dB")
    assert "no steps and no gradient norms" in text
    assert "no optimizer step was logged" not in text


def test_nothing_to_report() -> None:
    run = example_run(norm=lambda t: 1.0, clip_norm=1.2, steps=100, total=1000)
    assert verdict_line(diagnose_facts(run), "runs/x").plain.endswith("healthy: nothing to report; 100 of 1000 steps")


def test_title_of_the_chart_tells_the_clip() -> None:
    assert "clipped at 1 in 0.0% of the steps" in shown(example_run(norm=0.1))
    assert "clipped" not in shown(example_run(norm=0.1, clip_norm=math.inf)).split("looked at")[0]


def test_markup_in_messages_is_not_interpreted() -> None:
    text = shown(example_run(norm=lambda t: math.nan if t > 0.5 else 0.3, loss=0.1))
    assert "gradient norm nan" in text


def test_info_findings_leave_no_mark_under_the_chart() -> None:
    assert "^GN" not in shown(example_run(norm=lambda t: 0.1 * 10**t))
