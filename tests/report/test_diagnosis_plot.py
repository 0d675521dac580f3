"""The figure of a diagnosis."""

from __future__ import annotations

import builtins
import math
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.diagnosis.diagnose import Diagnosis, diagnose_any, diagnose_facts
from dpdrun.errors import DataError, UnwritableError
from dpdrun.report.diagnosis_plot import charts_of, draw_diagnosis
from dpdrun.report.figures.curves import MOST_POINTS, Curve
from dpdrun.rules.examples import example_run
from dpdrun.rules.facts.run import RunFacts

CLIMBS = example_run(norm=lambda t: 0.1 * 10**t, loss=0.1, eval_step=[200, 400], eval_nmse_db=[-10.0, -12.0])


def test_svg_holds_curves_marks_and_labels(tmp_path: Path) -> None:
    import matplotlib

    path = tmp_path / "x.svg"
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        draw_diagnosis(diagnose_facts(CLIMBS), "runs/x", path)
    text = path.read_text()
    for word in ("runs/x", "gradient norm", "clip 1", "learning rate", "validation NMSE", "GN201", "optimizer step"):
        assert f">{word}" in text


@pytest.mark.parametrize(
    "run",
    [CLIMBS, example_run(loss=lambda t: math.nan if t > 0.9 else 0.1), example_run(realised=0.0, steps=2),
     RunFacts(eval_step=[1, 2], eval_nmse_db=[-10.0, -20.0])],
    ids=["climbs", "nan", "lr zero", "scores only"],
)  # fmt: skip
def test_png(tmp_path: Path, run: RunFacts) -> None:
    path = tmp_path / "x.png"
    draw_diagnosis(diagnose_facts(run), "runs/x", path, dpi=50)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    this = diagnose_facts(CLIMBS)
    with pytest.raises(DataError, match=r"cannot draw \.jpg; use \.png"):
        draw_diagnosis(this, "x", tmp_path / "x.jpg")
    with pytest.raises(DataError, match="nothing to plot"):
        draw_diagnosis(diagnose_facts(RunFacts()), "x", tmp_path / "x.png")
    with pytest.raises(UnwritableError, match="cannot write: No such file or directory; create its folder"):
        draw_diagnosis(this, "x", tmp_path / "no" / "x.png")
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r"pip install 'dpdrun\[plots\]'"):
        draw_diagnosis(this, "x", tmp_path / "x.png")


def test_norm_and_loss_with_clip_lr_validation_and_marks() -> None:
    run = example_run(norm=lambda t: 0.1 * 10**t, loss=0.1, eval_step=[200, 400], eval_nmse_db=[-10.0, -12.0])
    norm, loss = charts_of(diagnose_facts(run))
    assert [curve.name for curve in (*norm.left, *norm.right)] == ["gradient norm", "learning rate"]
    assert norm.lines == [(1.0, "clip 1")]
    assert [curve.name for curve in (*loss.left, *loss.right)] == ["training loss", "validation NMSE [dB]"]
    assert not loss.right[0].log


def test_an_nmse_shares_the_axis_of_the_validation_in_db() -> None:
    run = example_run(loss=0.01, spread=0.0, eval_step=[200, 400], eval_nmse_db=[-10.0, -12.0], loss_is_nmse=True,
                      gmp_db=-18.0, floor_db=-60.0)  # fmt: skip
    chart = charts_of(diagnose_facts(run))[1]
    assert [(curve.name, curve.y[0], curve.log) for curve in chart.left] == [
        ("training NMSE [dB]", -20.0, False), ("validation NMSE [dB]", -10.0, False),
    ]  # fmt: skip
    assert chart.right == []
    assert chart.lines == [(-18.0, "gmp -18.0 dB")]  # the floor lies far away


def test_a_clip_far_away_is_not_drawn() -> None:
    assert charts_of(diagnose_facts(example_run(norm=0.05, clip_norm=200.0)))[0].lines == []
    assert charts_of(diagnose_facts(example_run(norm=0.05, clip_norm=math.inf)))[0].lines == []


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
    assert charts_of(diagnose_facts(RunFacts(total_steps=100))) == []
    assert charts_of(diagnose_facts(RunFacts(kind="gmp", eval_step=[0], eval_nmse_db=[-39.0]))) == []
    assert charts_of(diagnose_facts(example_run(norm=math.nan, loss=math.nan))) == []


def test_a_log_without_norms(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("epoch,loss,lr,val_loss\n" + "".join(f"{i},{1 / (i + 1)},1e-3,{2 / (i + 1)}\n" for i in range(9)))
    this: Diagnosis = diagnose_any(path)
    (chart,) = charts_of(this)
    assert [curve.name for curve in (*chart.left, *chart.right)] == [
        "training loss", "validation loss", "learning rate",
    ]  # fmt: skip
