"""Results: means over seeds, the front, the gain over the rules; the test split is scored once, for the front."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from dpdrun.errors import RunError
from dpdrun.evaluation import assessment
from dpdrun.run.files import Json
from dpdrun.sweep.document import Sweep
from dpdrun.sweep.final import finish
from dpdrun.sweep.folder import SweepFolder, runs_of
from dpdrun.sweep.objectives import gain_of, mean_of, pareto_front
from dpdrun.sweep.results import Results, best_point

Done = Callable[..., tuple[SweepFolder, Json]]


def test_an_interval_is_that_of_a_t_test() -> None:
    values = [1.0, 2.5, 4.0, 3.0]
    found = mean_of(values)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert mean_of([2.0]).to_json() == {"mean": 2.0, "low": None, "high": None, "seeds": 1}


def test_a_gain_is_paired_by_seed() -> None:
    rules, best = {0: -30.0, 1: -32.0, 2: -31.0}, {1: -33.0, 2: -32.5, 0: -31.2, 7: 0.0}
    found = gain_of(rules, best)
    expected = stats.ttest_rel([-30.0, -32.0, -31.0], [-31.2, -33.0, -32.5]).confidence_interval(0.95)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert gain_of({0: 1.0}, {1: 1.0}) is None


def test_the_front_is_what_nothing_beats() -> None:
    rng = np.random.default_rng(0)
    costs = rng.integers(0, 6, size=(40, 2)).tolist()
    on_front = [
        not any(all(b <= a for a, b in zip(row, other, strict=True)) and other != row for other in costs)
        for row in costs
    ]
    assert pareto_front(costs) == [index for index, is_on in enumerate(on_front) if is_on]
    assert pareto_front([[3.0], [1.0], [1.0], [2.0]]) == [1, 2]


def test_the_files_of_a_sweep(read: Callable[..., Sweep], done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    scored: list[tuple[str, ...]] = []
    evaluate = assessment.evaluate

    def recorded(model: Any, plan: Any, capture: Any, splits: Any = ("val", "test"), **options: Any) -> Json:
        scored.append(tuple(splits))
        return evaluate(model, plan, capture, splits, **options)

    monkeypatch.setattr(assessment, "evaluate", recorded)
    over = {"model.d_model": "4,8,16"}
    folder, content = done(read(over=over, seeds=2, objectives=["val_nmse_db", "parameters"]))
    assert json.loads(folder.result.read_text()).items() >= content.items()
    assert content["trials"] == {"pending": 0, "running": 0, "finished": 6, "failed": 0, "pruned": 0}
    costs = {each["number"]: [each["objectives"][name]["mean"] for name in content["objectives"]]
             for each in content["points"]}  # fmt: skip
    assert sorted(content["front"]) == pareto_front(list(costs.values()))
    kept = {each["number"] for each in content["points"] if each["on_front"] or each["rules"]}
    for each in content["points"]:
        for trial in each["trials"]:
            report = folder.run(trial["id"]).read_json(folder.run(trial["id"]).report)
            shared = each["number"] in kept or each["config"] == {"model.d_model": "8"}  # the rules' own trials
            assert ("test" in report["splits"]) == shared
            assert trial["val_nmse_db"] == pytest.approx(report["splits"]["val"]["with_past"]["nmse_db"])
    assert scored, "the test split is scored"
    before = len(scored)
    finish(folder, folder.load(), print)
    assert len(scored) == before, "once"
    assert_damage_is_named(folder)

    rows = list(csv.DictReader(io.StringIO(folder.table.read_text())))
    assert [row["model.d_model"] for row in rows] == ["8", "4", "8", "16"]
    assert float(rows[1]["val_nmse_db"]) == content["points"][1]["objectives"]["val_nmse_db"]["mean"]
    page = folder.page.read_text()
    assert page.count("<svg") == 2
    assert "http" not in page
    assert "<script" not in page


def test_the_best_within_a_budget(read: Callable[..., Sweep], done: Done) -> None:
    _, content = done(read(over={"model.d_model": "4,8"}))
    sizes = {
        each["config"].get("model.d_model"): each["objectives"]["parameters"]["mean"] for each in content["points"]
    }
    assert best_point(content, {"parameters": sizes["4"]})["config"] == {"model.d_model": "4"}
    with pytest.raises(RunError, match=f"no configuration is within this budget; .*parameters {sizes['4']:g}"):
        best_point(content, {"parameters": sizes["4"] - 1})


def assert_damage_is_named(folder: SweepFolder) -> None:
    state, result = folder.journal.read(), folder.result.read_text()
    report = folder.run(next(iter(state.trials))).report
    whole = report.read_text()
    for splits in ("5", '{"val": 5}', '{"val": {"with_past": "nan"}}'):
        report.write_text(f'{{"splits": {splits}}}')
        with pytest.raises(RunError, match=r"report\.json(: not a report of a run| is damaged)"):
            Results(folder, folder.load()).make(state)
    report.write_text(whole)
    folder.result.write_text('{"points": [5]}')
    with pytest.raises(RunError, match=r"sweep\.json: damaged .* `dpdrun sweep show"):
        runs_of(folder.path)
    folder.result.write_text(result)
