"""Every predistorter through every PA model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpdrun.data.sources import load_capture
from dpdrun.evaluation.prediction import predict
from dpdrun.pipeline.document import Pipeline
from dpdrun.pipeline.scores import score_pipeline
from dpdrun.pipeline.state import step_states
from dpdrun.rf.metrics import nmse_db
from dpdrun.training.job import load_run
from tests.json_documents import as_documented

Run = Callable[..., dict[str, str]]


def test_scores_through_both_models(folder: Path, run: Run) -> None:
    run()
    content = json.loads((folder / "out" / "evaluation" / "scores.json").read_text())
    as_documented("pipeline_scores", content)
    assert content["learnt"] == {"net": "pa"}
    own, judged = content["own"]["net"], content["judged"]["net"]
    assert [*judged] == ["judge"], "through its own model it is scored already"
    report = json.loads((folder / "out" / "net" / "report.json").read_text())
    assert own["splits"] == report["splits"]
    net, plan, _ = load_run(folder / "out" / "net")
    judge, _, _ = load_run(folder / "out" / "judge")
    capture = load_capture(plan.recipe.data)
    assert plan.predistortion is not None
    y = predict(judge, predict(net, capture.test.x))  # by hand
    expected = nmse_db(plan.predistortion.gain * capture.test.x, y)
    assert judged["judge"]["splits"]["test"]["nmse_db"] == pytest.approx(expected, abs=1e-4)
    assert abs(expected - report["splits"]["test"]["nmse_db"]) > 1e-4, "the judge is another model"


def test_a_page_of_each_predistorter_is_drawn_once_when_it_is_scored_or_was_not_drawn(
    folder: Path, chain: Pipeline, run: Run
) -> None:
    run()
    states, drawn = step_states(chain, folder / "out"), list[tuple[Any, ...]]()

    def draw(*what: Any) -> None:
        what[0].mkdir(exist_ok=True)
        drawn.append(what)

    assert score_pipeline(chain, folder / "out", states, draw)[1], "scored, where nothing could draw"
    assert not score_pipeline(chain, folder / "out", states, draw)[1]
    (where, of, report, scenes), *rest = drawn
    assert (where, of, rest) == (folder / "out" / "evaluation" / "net", folder / "out" / "net", [])
    assert report["through"]["pa"]["path"] == str(folder / "out" / "judge")
    assert [scene.split for scene in scenes] == ["val", "test"]
    (folder / "out" / "evaluation" / "scores.json").unlink()
    assert score_pipeline(chain, folder / "out", states, draw)[1]
    assert len(drawn) == 2


def test_they_are_made_again_when_parts_or_models_change(
    folder: Path, run: Run, retrain: Callable[[Path], None]
) -> None:
    run()
    path = folder / "out" / "evaluation" / "scores.json"
    chain = folder / "chain.yaml"
    chain.write_text(chain.read_text() + "evaluate: val\n")
    assert run()["evaluation"] == "run"
    assert [*json.loads(path.read_text())["own"]["net"]["splits"]] == ["val"]
    assert run()["evaluation"] == "skip"
    path.write_text("{")
    assert run()["evaluation"] == "run", "damaged"
    retrain(folder / "out" / "judge")
    assert run()["evaluation"] == "run", "another judge"
    assert np.isfinite(json.loads(path.read_text())["judged"]["net"]["judge"]["splits"]["val"]["nmse_db"])
