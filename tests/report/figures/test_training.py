from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from dpdrun.report.figures.style import MAIN, NothingToDrawError, paper_style
from dpdrun.report.figures.training import draw_training
from dpdrun.run.metrics import Metrics


def metrics(steps: int = 400, *, clip: float = 1.0, objective: bool = False, norm: float = 1.0) -> Metrics:
    found = Metrics()
    for step in range(1, steps + 1):
        size = norm * 10 * math.exp(-step / 50)
        line: dict[str, Any] = {"kind": "step", "step": step, "loss": 1 / step, "lr": 1e-3, "grad_norm": size}
        found.add(line | {"clip_norm": clip, "clipped": size > clip})
    for step in range(20, steps + 1, 20):
        score = -30 + abs(step - 200) / 20
        line = {"kind": "eval", "step": step, "val_nmse_db": score}
        found.add(line | ({"objective_db": score - 5 + (1000 if step < 60 else 0)} if objective else {}))
    return found


def drawn(training: dict[str, Metrics]) -> tuple[dict[str, Any], str, Any]:
    with paper_style():
        figure, caption = draw_training(training)
        figure.draw_without_rendering()
    return {axes.get_ylabel().split()[0]: axes for axes in figure.axes}, caption, figure


def test_the_four_panels() -> None:
    axes, caption, figure = drawn({"this run": metrics()})
    assert list(axes) == ["training", "validation", "gradient", "learning"]
    assert axes["validation"].get_ylabel() == "validation [dB]"
    assert axes["learning"].get_xlabel() == "optimizer step"
    loss = axes["training"].get_lines()[0]
    assert loss.get_color() == MAIN
    np.testing.assert_allclose(loss.get_ydata(), 1 / np.asarray(loss.get_xdata()), rtol=0.3)
    (clip,) = [line for line in axes["gradient"].get_lines() if line.get_linestyle() == "--"]
    assert clip.get_ydata() == [1.0, 1.0]
    assert [text.get_text() for text in axes["gradient"].texts] == ["clip 1"]
    assert "clipped steps: this run 29%" in caption  # 10 exp(-t/50) > 1 until 115 of 400
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["this run"]


def test_the_model_that_was_kept_is_marked() -> None:
    axes, caption, figure = drawn({"this run": metrics(objective=True)})
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["this run", "validation NMSE", "objective"]
    (mark,) = [line for line in axes["validation"].get_lines() if line.get_marker() == "o"]
    assert (*mark.get_xdata(), *mark.get_ydata()) == (200, -30.0)
    dashed = [line for line in axes["validation"].get_lines() if line.get_linestyle() == "--"]
    assert len(dashed) == 1
    assert np.max(dashed[0].get_ydata()) < 0  # what missed the output power is not drawn
    assert "dashed" in caption


def test_clips_of_several_runs() -> None:
    axes, *_ = drawn({"a": metrics(clip=1.0), "b": metrics(200, clip=0.5), "far": metrics(clip=200.0, norm=1e-3)})
    shown = {line.get_ydata()[0] for line in axes["gradient"].get_lines() if line.get_linestyle() == "--"}
    assert {0.5, 1.0} <= shown
    assert 200.0 in shown or max(shown) == 1.0
    assert axes["learning"].get_xlim() == (0, 400)
    lone, *_ = drawn({"far": metrics(clip=200.0, norm=1e-3)})
    assert [line for line in lone["gradient"].get_lines() if line.get_linestyle() == "--"] == []


def test_values_that_are_not_finite() -> None:
    found = metrics(50)
    found.steps[20] |= {"loss": math.nan, "grad_norm": math.inf}
    axes, *_ = drawn({"this run": found})
    marks = [line for line in axes["training"].get_lines() if line.get_marker() == "|"]
    assert [list(line.get_xdata()) for line in marks] == [[21]]
    found.evals[0]["val_nmse_db"] = math.nan
    axes, *_ = drawn({"this run": found})
    best = [list(line.get_xdata()) for line in axes["validation"].get_lines() if line.get_marker() == "o"]
    assert [40] in best


def test_a_short_run_has_the_panels_that_it_can_have() -> None:
    found = Metrics()
    found.add({"kind": "step", "step": 1, "loss": 0.5})
    axes, *_ = drawn({"this run": found})
    assert list(axes) == ["training"]


def test_nothing_logged() -> None:
    with pytest.raises(NothingToDrawError, match="no run has logged a step"):
        drawn({"gmp": Metrics()})
    bad = Metrics()
    bad.add({"kind": "step", "step": 1, "loss": math.nan})
    with pytest.raises(NothingToDrawError, match="no logged value is finite"):
        drawn({"bad": bad})


def test_more_than_six_runs() -> None:
    _, caption, figure = drawn({f"run {i}": metrics(40) for i in range(8)})
    assert len(figure.legends[0].get_texts()) == 6
    assert "Only the last 6 of 8 runs" in caption


def test_a_run_has_the_colour_of_the_other_figures() -> None:
    training = {"a": metrics(), "b": metrics()}

    def shades(known: dict[str, str]) -> list[str]:
        with paper_style():
            figure, _ = draw_training(training, known)
        return [line.get_color() for line in figure.axes[0].get_lines()]

    assert shades({"a": "#111111", "b": "#222222", "other": "#333333"}) == ["#111111", "#222222"]
    assert shades({"a": "#111111"}) == shades({"a": "#111111", "b": "#111111"}) == shades({})
    assert len(set(shades({}))) == 2
