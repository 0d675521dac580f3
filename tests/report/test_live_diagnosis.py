"""The view of a run that goes on."""

from __future__ import annotations

from rich.console import Console

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.report.live_diagnosis import event_line, gone_line, live_view
from dpdrun.rules.examples import example_run

THIS = diagnose_facts(example_run(norm=lambda t: 0.1 * 10**t, loss=0.1, steps=300, total=400))


def shown(quiet_s: float) -> str:
    console = Console(width=120, no_color=True)
    with console.capture() as capture:
        console.print(live_view(THIS, "runs/x", quiet_s))
    return capture.get()


def test_view_shows_verdict_chart_findings_and_silence() -> None:
    text = shown(1.0)
    assert "runs/x: 1 warning" in text
    assert "300 of 400 steps" in text
    assert "^GN201" in text
    assert "warning GN201 from step 21: the gradient norm grows" in text
    assert "nothing new" not in text
    assert "nothing new for 1:30" in shown(90.0)


def test_lines_of_events() -> None:
    finding = next(finding for finding in THIS.findings if finding.code == "GN201")
    line = event_line(finding, THIS).plain
    assert line.startswith("step 300: warning GN201 gradient_norm_climbs: ")
    assert "; advice: lower optim.lr" in line
    assert gone_line("GN201", THIS).plain == "step 300: GN201 is no longer seen"
