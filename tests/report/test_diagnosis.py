"""A diagnosis on the terminal."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dpdrun.diagnosis.diagnose import Diagnosis, Verdict, diagnose_facts
from dpdrun.diagnosis.logs.log import TrainingLog
from dpdrun.report.chart import AXIS, OVERLAY
from dpdrun.report.diagnosis import FollowView, chart_lines, diagnosis_view, live_view, progress_text, verdict_line
from dpdrun.rules.engine import Finding, Severity
from dpdrun.rules.examples import example_run
from dpdrun.rules.facts.run import RunFacts


def shown(run: RunFacts, *, verbose: bool = False) -> str:
    console = Console(width=160, no_color=True)
    with console.capture() as capture:
        console.print(diagnosis_view(diagnose_facts(run), "runs/x", verbose=verbose), highlight=False)
    return capture.get()


def said(verdict: Verdict, *severities: Severity, **facts: Any) -> str:
    findings = [Finding("seen", severity=severity, code="GN201", slug="x") for severity in severities]
    run = example_run(**facts)
    return verdict_line(Diagnosis(verdict, findings, [], [], run), "runs/x").plain


def test_verdict_counts_by_severity() -> None:
    line = said("error", "error", "warning", "warning", "info")
    assert line == "runs/x: 1 error, 2 warnings, 1 info; 400 of 400 steps"


def test_info_leaves_a_run_healthy() -> None:
    assert said("healthy", "info") == "runs/x: healthy: 1 info; 400 of 400 steps"


def test_a_run_of_unknown_length_says_how_far_it_is() -> None:
    assert said("healthy", total_steps=None) == "runs/x: healthy: nothing to report; 400 steps"


def test_run_without_steps_is_unknown() -> None:
    line = verdict_line(diagnose_facts(RunFacts(total_steps=100)), "runs/x").plain
    assert line == "runs/x: unknown: nothing could be checked yet; 0 of 100 steps"


def test_gmp_has_no_steps() -> None:
    run = RunFacts(kind="gmp", total_steps=0, eval_step=[0], eval_nmse_db=[-39.0], one_tap_db=-20.0)
    text = shown(run)
    assert text.startswith("runs/x: healthy: nothing to report; a least-squares fit, validation NMSE -39.00 dB")
    assert "no steps and no gradient norms" in text
    assert "no optimizer step was logged" not in text


def test_nothing_to_report() -> None:
    assert said("healthy", steps=100, total=1000).endswith("healthy: nothing to report; 100 of 1000 steps")


def test_a_finding_says_what_why_and_what_to_do() -> None:
    text = shown(example_run(norm=lambda t: 0.1 * 10**t, loss=0.1))
    finding = text[text.index("warning GN201") :].split("\n\n")[0]
    assert finding.startswith("warning GN201 gradient_norm_climbs: the gradient norm grows")
    assert finding.splitlines()[0].endswith(" (from step 21)")
    assert "  evidence: rise decades " in finding
    assert ", threshold 0.3, p < 0.0001, n " in finding
    assert "  why: Steps that are too large drive the weights" in finding
    assert "  advice: lower optim.lr from 0.01 to 0.005" in finding
    assert "  recipe: optim.lr: 5e-3" in finding


def test_rules_without_a_finding_are_counted_and_listed_on_request() -> None:
    run = example_run()
    healthy = diagnose_facts(run).healthy
    assert len(healthy) > 10
    left = len(diagnose_facts(run).skipped)
    assert f"\nchecked, no finding: {len(healthy)} rules; not checked: {left} (-v lists them)\n" in shown(run)
    assert "LS201" not in shown(run)
    listed = shown(run, verbose=True)
    assert f"checked, no finding: {len(healthy)} rules: " in listed
    assert all(code in listed for code in healthy)


def test_skipped_rules_of_one_reason_share_a_row() -> None:
    assert "DM201" not in shown(example_run())
    lines = [line.split() for line in shown(example_run(), verbose=True).splitlines()]
    row = next(line for line in lines if line[:1] == ["DM201"])
    assert "needs" in row


def test_lr_is_drawn_under_the_norm() -> None:
    text = shown(example_run())
    assert f"lr {OVERLAY} on the right" in text
    assert sum(OVERLAY in line for line in text.splitlines()) > 3
    assert OVERLAY not in shown(replace(example_run(), lr=[]))


def test_without_norms_the_loss_is_drawn() -> None:
    text = shown(replace(example_run(), grad_norm=[], clip_norm=[], clipped=[]))
    assert "loss, logarithmic" in text
    assert "neither gradient norm nor loss" in shown(replace(example_run(), grad_norm=[], loss=[]))


def test_a_log_says_how_it_was_read() -> None:
    source = TrainingLog("CSV", Path("a.csv"), found={"loss": "mse"}, unit="epoch", notes=["a note"])
    run = replace(example_run(norm=lambda t: 0.1 * 10**t, loss=0.1), total_steps=None)
    console = Console(width=160, no_color=True)
    with console.capture() as capture:
        console.print(diagnosis_view(replace(diagnose_facts(run), log=source), "a.csv"), highlight=False)
    text = capture.get()
    assert "400 epochs" in text
    assert "read as CSV: loss = mse\n- a note\n" in text
    assert "(from epoch 21)" in text
    assert "epoch 1 " in text


def test_title_of_the_chart_shows_the_clip() -> None:
    assert "clipped at 1 in 0.0% of the steps" in shown(example_run(norm=0.1))
    assert "clipped" not in shown(example_run(norm=0.1, clip_norm=math.inf)).split("checked")[0]


def test_chart_fits_the_terminal() -> None:
    for width in (60, 80, 160):
        console = Console(width=width, no_color=True)
        with console.capture() as capture:
            console.print(diagnosis_view(diagnose_facts(example_run(norm=lambda t: 0.1 * 10**t, loss=0.1)), "runs/x"))
        rows = [line for line in capture.get().splitlines() if line.count(AXIS) == 2]
        assert len(rows) == 8
        assert max(map(len, rows)) <= width


def test_markup_in_messages_is_not_interpreted() -> None:
    text = shown(example_run(norm=lambda t: math.nan if t > 0.5 else 0.3, loss=0.1))
    assert "gradient norm nan" in text


def test_info_findings_leave_no_mark_under_the_chart() -> None:
    assert "^GN" not in shown(example_run(norm=lambda t: 0.1 * 10**t))


CLIMBING = diagnose_facts(example_run(norm=lambda t: 0.1 * 10**t, loss=0.1, steps=300, total=400))
CALM = diagnose_facts(example_run(loss=lambda t: 0.1 * 0.5**t, steps=310, total=400))


def live(quiet_s: float) -> str:
    console = Console(width=120, no_color=True)
    with console.capture() as capture:
        console.print(live_view(CLIMBING, "runs/x", quiet_s))
    return capture.get()


def test_live_view_shows_verdict_chart_findings_and_silence() -> None:
    text = live(1.0)
    assert "runs/x: 2 warnings" in text
    assert "300 of 400 steps" in text
    assert "^GN201" in text
    assert "warning GN201 gradient_norm_climbs: the gradient norm grows" in text
    assert "nothing new" not in text
    assert "nothing new for 1:30" in live(90.0)


def test_following_prints_each_new_and_resolved_finding_once() -> None:
    console = Console(width=100, no_color=True, force_terminal=False)
    with console.capture() as capture, FollowView(console) as view:
        view.waiting("nothing was logged")
        for diagnosis in (CALM, CLIMBING, CLIMBING, CALM):
            view.changed(diagnosis, "runs/x")
            view.draw(diagnosis, "runs/x", 0.0)
    first, verdict, *events = capture.get().splitlines()
    assert first == "waiting: nothing was logged"
    assert verdict.startswith("runs/x: healthy")
    about = [line for line in events if " GN201 " in line]
    assert len(about) == 2
    assert about[0].startswith("step 300: warning GN201 gradient_norm_climbs: ")
    assert "; advice: lower optim.lr" in about[0]
    assert about[1] == "step 310: GN201 is no longer found"


def test_on_a_terminal_the_panel_is_redrawn_and_taken_away() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=40, legacy_windows=False)
    with FollowView(console) as view:
        view.changed(CLIMBING, "runs/x")
        view.draw(CLIMBING, "runs/x", 0.0)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "checked, no finding" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is shown again


@pytest.mark.parametrize(
    ("code", "severity", "title"),
    [("LS205", "warning", "loss"), ("GN207", "info", "loss"), ("GN207", "warning", "gradient norm before clipping")],
)
def test_the_chart_of_a_log_is_its_loss_unless_the_norm_is_the_matter(code: str, severity: str, title: str) -> None:
    run = diagnose_facts(example_run())
    finding = Finding("x", severity=severity, code=code)  # type: ignore[arg-type]
    this = replace(run, log=TrainingLog("CSV", Path("a.csv")), findings=[finding])
    assert chart_lines(this)[0].plain.startswith(f"{title}, logarithmic")
    assert chart_lines(replace(this, log=None))[0].plain.startswith("gradient norm before clipping")


def test_epochs_that_count_from_zero_are_counted() -> None:
    run = diagnose_facts(replace(example_run(), step=list(range(400)), total_steps=399, eval_step=[], eval_nmse_db=[]))
    assert progress_text(replace(run, log=TrainingLog("CSV", Path("a.csv"), unit="epoch"))) == "400 of 400 epochs"
