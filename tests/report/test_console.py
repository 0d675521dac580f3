"""The view of a run and its report, as text."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType

from dpdrun.plan.plan import Plan, make_plan
from dpdrun.recipe.loader import load_text
from dpdrun.report.console import TrainingView
from dpdrun.report.numbers import decibels, duration
from dpdrun.report.run_report import report_table
from dpdrun.rules.engine import Finding

RECIPE = """
task: pa
data: {source: synthetic/mild}
model: {kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8}
train: {max_steps: 400, batch_size: 4, frame: 32}
"""


def plan() -> Plan:
    return make_plan(load_text(RECIPE, Path("r.yaml")).recipe, 2000)


def console_of(width: int, *, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None, _environ={})


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def lines_of(renderable: RenderableType, width: int) -> list[str]:
    console = console_of(width)
    console.print(renderable, highlight=False)
    lines = [line.rstrip() for line in text_of(console).splitlines()]
    assert lines
    assert max(map(len, lines)) <= width
    return lines


def step_line(step: int, **more: Any) -> dict[str, Any]:
    return {"step": step, "lr": 1e-3, "grad_norm": 0.5, "clipped": False} | more


def view_of(console: Console, *, floor_db: float | None = -42.0, total: int = 400) -> TrainingView:
    return TrainingView(console, title="runs/[x]", total_steps=total, samples_per_step=128, floor_db=floor_db)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (10, "0:10"), (61, "1:01"), (3599.6, "1:00:00"), (7384, "2:03:04")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_decibels() -> None:
    assert decibels(-39.124) == "-39.12 dB"
    assert decibels(0.5, sign=True) == "+0.50 dB"
    assert decibels(None) == "-"


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_panel_shows_every_number_in_one_box_of_any_terminal(width: int) -> None:
    console = console_of(width)
    view = view_of(console)
    for step in range(1, 101):
        view.step(step_line(step, lr=1.25e-3, grad_norm=2.0 / step, clipped=step <= 25))
    view.evaluation({"step": 100, "val_nmse_db": -30.5, "best_db": -31.25, "seconds": 3.0})
    lines = lines_of(view.render(), width)
    text = "\n".join(lines)
    assert len(lines) == (6 if width > 60 else 7)
    assert len({len(line) for line in lines}) == 1  # one box
    assert len(lines[0]) <= min(width - 2, 100)
    for part in ("runs/[x]", "100/400", "ETA", "-30.50 dB", "-31.25 dB", "10.75 dB", "1.25e-03", "25.0%", "0.02"):
        assert part in text, part


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_panel_is_complete_before_the_first_step_and_with_extreme_numbers(width: int) -> None:
    view = view_of(console_of(width), total=10**7)
    assert "starting" in "\n".join(lines_of(view.render(), width))
    view.step(step_line(10**7 - 1, grad_norm=1.234e-45, lr=1e-12))
    view.step(step_line(10**7, grad_norm=float("inf")))
    view.evaluation({"step": 10**7, "val_nmse_db": -130.5, "best_db": -131.25, "seconds": 1e6})
    lines = lines_of(view.render(), width)
    assert len(lines) == (6 if width > 60 else 7)
    assert "took 277:46:40" in "\n".join(lines)
    assert "-89.25 dB" in "\n".join(lines)  # below the floor, as no model can be: the floor is in doubt, and it shows


@pytest.mark.parametrize("terminal", [False, True])
def test_a_finding_is_a_line_of_its_own(terminal: bool) -> None:
    console = console_of(60, terminal=terminal)
    finding = Finding(
        "the loss [bold] rose", {"optim.lr": 0.1}, "warning", 40, advice="lower optim.lr", code="LR202", slug="above"
    )
    with view_of(console) as view:
        view.finding(finding, 50)
    assert "step 50: warning LR202 above: the loss [bold] rose; advice: lower optim.lr" in text_of(console)


@pytest.mark.parametrize("terminal", [False, True])
def test_an_error_of_the_view_ends_the_view_alone(terminal: bool, capfd: pytest.CaptureFixture[str]) -> None:
    console = console_of(80, terminal=terminal)
    with view_of(console) as view:
        view.step({"step": 1})  # a line without its norm
        view.evaluation({"step": 1})
        view.message("unheard")
    assert "unheard" not in text_of(console)
    error = capfd.readouterr().err
    assert error.count("the live view failed (KeyError: 'grad_norm') and is disabled; training continues in ") == 1


def test_what_cannot_be_drawn_is_a_message_in_the_panel() -> None:
    view = view_of(console_of(80, terminal=True))
    view._eval = {"best_db": None}  # and no step
    view._iterations = 1
    assert "cannot show this run: KeyError" in str(view._draw())


def test_without_a_floor_no_margin_is_shown() -> None:
    view = view_of(console_of(80), floor_db=None)
    view.step(step_line(1))
    view.evaluation({"step": 1, "val_nmse_db": -30.0, "best_db": -30.0, "seconds": 1.0})
    line = next(line for line in lines_of(view.render(), 80) if "above floor" in line)
    assert line.split("above floor")[1].split()[0] == "-"


def test_a_replay_looks_like_the_run_at_the_pace_of_the_run() -> None:
    console = console_of(80)
    view = view_of(console, total=400)
    steps = [step_line(step, step_s=0.25) for step in range(1, 201)]
    scorings = [
        {"step": step, "val_nmse_db": score, "best_db": min(score, -20.0), "seconds": step / 4}
        for step, score in ((100, -20.0), (200, -25.0))
    ]
    view.replay(steps, scorings)
    assert text_of(console) == ""
    text = "\n".join(lines_of(view.render(), 80))
    for part in (
        "step 200/400",
        "ETA 0:50",
        "-25.00 dB",
        "17.00 dB",
        "512",
    ):  # 200 steps left; 4 steps/s of 128 samples
        assert part in text, part


def test_without_a_terminal_each_scoring_is_one_plain_line() -> None:
    console = console_of(40)
    with view_of(console) as view:
        for step in range(1, 201):
            view.step(step_line(step, clipped=True))
            if step % 100 == 0:
                view.evaluation({"step": step, "val_nmse_db": -20.0, "best_db": -25.0, "seconds": 2.0})
    lines = text_of(console).splitlines()
    assert [line.split("  ")[0] for line in lines] == ["step 100/400", "step 200/400"]
    assert all("val  -20.00 dB  best  -25.00 dB  17.00 dB above floor" in line for line in lines)
    assert all("clipped 100%" in line and "ETA" in line for line in lines)
    assert "\x1b" not in text_of(console)


def test_on_a_terminal_the_last_panel_stays_and_no_plain_line_is_printed() -> None:
    console = console_of(80, terminal=True)
    with view_of(console, total=2) as view:
        view.step(step_line(1))
        view.step(step_line(2))
        view.evaluation({"step": 2, "val_nmse_db": -20.0, "best_db": -25.0, "seconds": 2.0})
    text = text_of(console)
    assert "val  -20.00" not in text
    last = text[text.rindex("runs/[x]") :]
    assert "step 2/2  took 2.0 s" in last
    assert "\x1b[2K" not in last  # erased nothing after it was drawn


def test_a_dumb_terminal_gets_plain_lines() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, _environ={"TERM": "dumb"})
    with view_of(console) as view:
        view.step(step_line(1))
        view.evaluation({"step": 1, "val_nmse_db": -20.0, "best_db": -25.0, "seconds": 2.0})
    assert text_of(console).startswith("step   1/400  val  -20.00 dB")


def test_messages_are_shown_as_they_are() -> None:
    console = console_of(80)
    view_of(console).message("no [c++] compiler")
    assert text_of(console) == "note: no [c++] compiler\n"


@pytest.fixture
def report() -> Callable[..., dict[str, Any]]:
    def make(**changes: Any) -> dict[str, Any]:
        score = {"nmse_db": -38.5, "nmse_opendpd_legacy_db": None, "gain_over_gmp_db": 1.25, "db_left": 3.5}
        return {
            "model": "transformer",
            "capture": {"name": "my/[capture]"},
            "splits": {"val": score, "test": {**score, "nmse_db": -37.0, "gain_over_gmp_db": -0.25, "db_left": 5.0}},
            "baselines": {
                "one_tap": {"val": {"nmse_db": -20.0}, "test": {"nmse_db": -21.0}},
                "gmp": {"val": {"nmse_db": -37.25}, "test": {"nmse_db": -37.25}, "parameters": 800},
            },
            "floor": {"nmse_db": -42.0, "method": "quiet band", "caveat": "an estimate"},
            "parameters": 12345,
            "macs_per_sample": 6789,
            "lookahead": 0,
            "rules": {"optim.lr": "LR010", "optim.beta2": "OP010"},
            "seconds": 83.0,
            "steps": 400,
            "best_step": 380,
            "samples_per_s": 98765.4,
        } | changes

    return make


@pytest.mark.parametrize("width", [80, 120])
def test_the_report_says_all_of_it(report: Callable[..., dict[str, Any]], width: int) -> None:
    this = plan()
    lines = lines_of(report_table(report(), this), width)
    rows = {line.strip("\u2502 ").split("  ")[0]: line for line in lines}
    assert "transformer on my/[capture]" in lines[0]
    assert rows["this model"].split()[-6:-1] == ["model", "-38.50", "dB", "-37.00", "dB"]
    assert "-37.25 dB" in rows["gmp, least squares"]
    assert "-20.00 dB   -21.00 dB" in rows["one complex gain"]
    assert "+1.25 dB    -0.25 dB" in rows["gain over gmp"]
    assert "-42.00 dB" in rows["noise floor"]
    assert "3.50 dB     5.00 dB" in rows["above the noise floor"]
    text = "\n".join(lines)
    for part in (
        "12,345 parameters, 6,789 MAC/sample, no look-ahead", "400 steps in 1:23, 98,765 samples/s, best at step 380",
        "quiet band (an estimate)", f"LR010 optim.lr {this.lr:g}", f"OP010 optim.beta2 {this.beta2:g}",
    ):  # fmt: skip
        assert part in text
    assert "OpenDPD" not in text


def test_an_unknown_floor_is_explained_and_leaves_no_row(report: Callable[..., dict[str, Any]]) -> None:
    floor = {"nmse_db": None, "method": "", "caveat": "no quiet band"}
    text = "\n".join(lines_of(report_table(report(floor=floor), plan()), 80))
    assert "unknown: no quiet band" in text
    assert "above the noise floor" not in text
    assert "noise floor" not in text


def test_a_report_without_times_and_one_of_least_squares(report: Callable[..., dict[str, Any]]) -> None:
    bare = {key: value for key, value in report().items() if key not in ("seconds", "steps", "samples_per_s")}
    assert "training" not in "\n".join(lines_of(report_table(bare, plan()), 80))
    solved = report(steps=0, samples_per_s=None, seconds=2.5, rules={}, lookahead=2, best_step=0)
    text = "\n".join(lines_of(report_table(solved, plan()), 80))
    assert "least squares in 2.5 s" in text
    assert "look-ahead 2 samples" in text
    assert "rules" not in text
    assert "needs the complete record" in "\n".join(lines_of(report_table(report(lookahead=None), plan()), 80))


def test_the_legacy_definition_has_its_own_row(report: Callable[..., dict[str, Any]]) -> None:
    this = report()
    this["splits"] = {name: {**score, "nmse_opendpd_legacy_db": -39.5} for name, score in this["splits"].items()}
    rows = [line for line in lines_of(report_table(this, plan()), 80) if "OpenDPD's definition" in line]
    assert len(rows) == 1
    assert rows[0].count("-39.50 dB") == 2
