"""Searches: within their budget and space, from the journal alone, without repetition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dpdrun.errors import RunError
from dpdrun.run.files import Json
from dpdrun.sweep import search
from dpdrun.sweep.document import Sweep
from dpdrun.sweep.folder import SweepFolder
from dpdrun.sweep.journal import TrialState
from dpdrun.sweep.points import LeftOut, Point
from dpdrun.sweep.results import Results
from dpdrun.sweep.search import next_points, require_search

OVER = {"optim.lr": "log:1e-3..1e-1", "model.d_model": "4..12", "model.heads": "1,2"}


@pytest.fixture
def fake(begun: Callable[..., SweepFolder], monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Point]]:
    """Runs a search whose scores are a formula, without training."""

    def run(sweep: Sweep, score: Callable[[Json], float]) -> list[Point]:
        folder = begun(sweep)
        by_trial: dict[str, Point] = {}

        class Scored(Results):
            def report_of(self, state: TrialState) -> Json | None:
                values = by_trial[state.trial.id].values
                return {"splits": {"val": {"nmse_db": score(values)}}, "parameters": 10 * values["model.d_model"]}

        results = Scored(folder, sweep)
        while True:
            with folder.journal.transaction() as now:
                for trial in [each for each in now.state.trials.values() if each.status == "pending"]:
                    point = next(each for each in now.state.points if trial.trial in each.trials)
                    by_trial[trial.trial.id] = point
                    now.add("finished", id=trial.trial.id, worker="w")
                found = next_points(sweep, now.state, results)
                for each in found:
                    if isinstance(each, LeftOut):
                        now.add("left_out", config=each.config, reason=each.reason)
                    else:
                        now.add("point", point=each.to_json())
            if not any(isinstance(each, Point) for each in found):
                return folder.journal.read().points

    return run


def error(values: Json) -> float:
    import math

    return 20 * abs(math.log10(values["optim.lr"] / 2e-2)) + abs(values["model.d_model"] - 8) - 40


@pytest.mark.parametrize("kind", ["random", "tpe", "nsga2"])
def test_a_search_uses_its_budget(kind: str, read: Callable[..., Sweep], fake: Any) -> None:
    points = fake(read(over=OVER, search=kind, budget={"trials": 9}), error)
    drawn = [each for each in points if not each.is_rules]
    assert len(drawn) == 9
    assert len({str(each.config) for each in drawn}) == 9
    for each in drawn:
        assert 1e-3 <= each.values["optim.lr"] <= 1e-1
        assert each.values["model.d_model"] % each.values["model.heads"] == 0, "others are left out"


@pytest.mark.slow
def test_tpe_does_better_than_chance(read: Callable[..., Sweep], fake: Any, place: Any) -> None:
    import shutil

    def best(kind: str) -> float:
        shutil.rmtree(place / "runs", ignore_errors=True)
        points = fake(read(over=OVER, search=kind, budget={"trials": 25}), error)
        return sum(sorted(error(each.values) for each in points if not each.is_rules)[:6])

    assert best("tpe") < best("random")


def test_several_objectives(read: Callable[..., Sweep], fake: Any) -> None:
    sweep = read(over=OVER, search="tpe", budget={"trials": 12}, objectives=["val_nmse_db", "parameters"])
    assert len(fake(sweep, error)) == 13


def test_a_space_that_is_exhausted_ends_a_search(read: Callable[..., Sweep], fake: Any) -> None:
    points = fake(read(over={"model.d_model": "4,8"}, search="tpe", budget={"trials": 30}), lambda values: -1.0)
    assert [each.config for each in points if not each.is_rules] != []
    assert {each.config["model.d_model"] for each in points if not each.is_rules} == {"4", "8"}


def test_a_budget_of_time(read: Callable[..., Sweep], begun: Any) -> None:
    sweep = read(over=OVER, search="random", budget={"core_hours": 1.0})
    folder = begun(sweep)
    with folder.journal.transaction() as now:
        (id_,) = now.state.trials
        now.add("finished", id=id_, worker="w", core_seconds=3601.0)
    assert next_points(sweep, folder.journal.read(), Results(folder, sweep)) == []


def test_without_the_package(read: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "find_spec", lambda name: None)
    require_search(read(over={"optim.lr": "1e-3"}))
    with pytest.raises(RunError, match=r"search: tpe needs Optuna: pip install 'dpdrun\[sweep\]'"):
        require_search(read(over=OVER, search="tpe", budget={"trials": 1}))
