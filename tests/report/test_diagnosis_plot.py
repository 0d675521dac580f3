"""The figure of a diagnosis."""

from __future__ import annotations

import builtins
import math
from pathlib import Path
from typing import Any

import pytest

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.errors import DataError
from dpdrun.report.diagnosis_plot import draw_diagnosis
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
    with pytest.raises(DataError, match="cannot be written"):
        draw_diagnosis(this, "x", tmp_path / "no" / "x.png")
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r"pip install 'dpdrun\[plots\]'"):
        draw_diagnosis(this, "x", tmp_path / "x.png")
