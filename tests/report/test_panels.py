"""The charts of a diagnosis as data."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import median

from hypothesis import given
from hypothesis import strategies as st

from dpdrun.diagnosis.diagnose import Diagnosis, diagnose_any, diagnose_facts
from dpdrun.report.panels import MOST_POINTS, Curve, panels_of
from dpdrun.rules.examples import example_run
from dpdrun.rules.facts.run import RunFacts


def test_norm_and_loss_with_clip_lr_validation_and_marks() -> None:
    run = example_run(norm=lambda t: 0.1 * 10**t, loss=0.1, eval_step=[200, 400], eval_nmse_db=[-10.0, -12.0])
    norm, loss = panels_of(diagnose_facts(run))
    assert [curve.role for curve in (*norm.left, *norm.right)] == ["norm", "lr"]
    assert norm.lines == [(1.0, "clip 1")]
    assert (21, "GN201", "warning") in [(mark.step, mark.code, mark.severity) for mark in norm.marks]
    assert [curve.role for curve in (*loss.left, *loss.right)] == ["loss", "validation"]
    assert not loss.right[0].log
    assert norm.span == loss.span == (1, 400)


def test_an_nmse_shares_the_axis_of_the_validation_in_db() -> None:
    run = example_run(loss=0.01, spread=0.0, eval_step=[200, 400], eval_nmse_db=[-10.0, -12.0], loss_is_nmse=True,
                      gmp_db=-18.0, floor_db=-60.0)  # fmt: skip
    panel = panels_of(diagnose_facts(run))[1]
    assert [(curve.role, curve.y[0], curve.log) for curve in panel.left] == [
        ("loss", -20.0, False), ("validation", -10.0, False),
    ]  # fmt: skip
    assert panel.right == []
    assert panel.lines == [(-18.0, "gmp -18.0 dB")]  # the floor lies far away


def test_a_clip_far_away_is_not_drawn() -> None:
    assert panels_of(diagnose_facts(example_run(norm=0.05, clip_norm=200.0)))[0].lines == []
    assert panels_of(diagnose_facts(example_run(norm=0.05, clip_norm=math.inf)))[0].lines == []


def test_thinning_keeps_extremes_and_non_finite_steps() -> None:
    values = [1.0] * 10_000
    values[1234], values[4321], values[77] = 500.0, math.nan, -1.0
    curve = Curve.of("norm", "norm", range(1, 10_001), values, log=True)
    assert len(curve.y) == MOST_POINTS
    assert max(curve.high) == 500.0
    assert set(curve.y) == {1.0}
    assert curve.bad == [4322]


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=MOST_POINTS))
def test_short_series_are_drawn_as_they_are(values: list[float]) -> None:
    curve = Curve.of("x", "loss", range(len(values)), values, log=False)
    assert curve.y == [median([value]) for value in values]
    assert curve.low == curve.high == curve.y


def test_nothing_to_draw() -> None:
    assert panels_of(diagnose_facts(RunFacts(total_steps=100))) == []
    assert panels_of(diagnose_facts(RunFacts(kind="gmp", eval_step=[0], eval_nmse_db=[-39.0]))) == []
    assert panels_of(diagnose_facts(example_run(norm=math.nan, loss=math.nan))) == []


def test_a_log_without_norms(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("epoch,loss,lr,val_loss\n" + "".join(f"{i},{1 / (i + 1)},1e-3,{2 / (i + 1)}\n" for i in range(9)))
    this: Diagnosis = diagnose_any(path)
    (panel,) = panels_of(this)
    assert [curve.role for curve in (*panel.left, *panel.right)] == ["loss", "validation", "lr"]
    assert (panel.unit, panel.span) == ("epoch", (0, 8))
