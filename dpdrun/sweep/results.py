"""The results of a sweep: what sweep.json holds, made from its journal and the reports of its trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dpdrun import __version__
from dpdrun.errors import RunError
from dpdrun.run.files import Json
from dpdrun.run.heartbeat import last_beat
from dpdrun.run.scores import WITH_PAST, chosen
from dpdrun.sweep.document import Sweep
from dpdrun.sweep.folder import SweepFolder
from dpdrun.sweep.journal import DECIDED, SweepState, TrialState
from dpdrun.sweep.objectives import SCORES, gain_of, mean_of, objective_of, pareto_front
from dpdrun.sweep.points import Point

SCHEMA_VERSION = 1
COSTS = ("parameters", "macs_per_sample")
SHOWN = ("val_nmse_db", "val_objective_db", "seconds")  # of each trial, where there are any


class Results:
    """Computes the results of a sweep while it runs; each report is read once.

    Args:
        folder: of the sweep.
        sweep: as it was last begun or extended.
    """

    def __init__(self, folder: SweepFolder, sweep: Sweep) -> None:
        self._folder, self._sweep = folder, sweep
        self._reports: dict[str, Json] = {}

    def report_of(self, state: TrialState) -> Json | None:
        """Return the report of a trial, or its scores in the journal where another host has its folder."""
        trial_id = state.trial.id
        if trial_id not in self._reports:
            run = self._folder.run(trial_id)
            if not run.report.is_file():
                return state.report
            report = run.read_json(run.report)
            splits = report.get("splits", {})
            scores = [*splits.values()] if isinstance(splits, dict) else [None]
            scores += [each.get(WITH_PAST) or {} for each in scores if isinstance(each, dict)]
            if not all(isinstance(each, dict) for each in scores):
                raise RunError(f"{run.report}: not a report of a run: its splits hold no scores")
            self._reports[trial_id] = report
        return self._reports[trial_id]

    def forget(self, trial_ids: Iterable[str]) -> None:
        """Read reports again, because scores of another split were added."""
        for trial_id in trial_ids:
            self._reports.pop(trial_id, None)

    def make(self, state: SweepState) -> Json:
        """Return the content of sweep.json; see docs/sweep.md."""
        sweep = self._sweep
        points = [self._point(number, point, state) for number, point in enumerate(state.points)]
        scored = [each for each in points if all(each["objectives"].get(name) for name in sweep.objectives)]
        costs = [[each["objectives"][name]["mean"] for name in sweep.objectives] for each in scored]
        front = sorted((scored[index] for index in pareto_front(costs)), key=lambda each: [
            each["objectives"][name]["mean"] for name in sweep.objectives])  # fmt: skip
        for each in front:
            each["on_front"] = True
        statuses = ("pending", "running", "finished", "failed", "pruned")
        return {
            "schema_version": SCHEMA_VERSION,
            "dpdrun": __version__,
            "name": self._folder.path.name,
            "recipe": state.header.get("recipe", sweep.base.path.stem),
            "task": sweep.base.recipe.task,
            "over": {each.key: each.written() for each in sweep.over},
            "seeds": list(sweep.seeds),
            "objectives": list(sweep.objectives),
            "search": sweep.search,
            "prune": sweep.prune,
            "trials": {status: state.count(status) for status in statuses},  # type: ignore[arg-type]
            "core_hours": state.core_seconds / 3600,
            "points": points,
            "front": [each["number"] for each in front],
            "gain": self._gain(points, front),
            "left_out": [{"config": each.config, "reason": each.reason} for each in state.left_out],
        }

    def _point(self, number: int, point: Point, state: SweepState) -> Json:
        trials = [self._trial(state.trials[each.id]) for each in point.trials]
        done = [each for each in trials if each["status"] == "finished"]
        complete = len(done) == len(trials)
        reports = [report for each in point.trials if (report := self.report_of(state.trials[each.id]))]
        objectives: dict[str, Any] = {}
        for name in dict.fromkeys((*self._sweep.objectives, *SCORES, *COSTS, "seconds")):
            values = [each.get(name) for each in done]
            known = [value for value in values if value is not None]
            if complete and len(known) == len(values):
                objectives[name] = mean_of(known).to_json()
        name = self._sweep.objectives[0]
        test = [objective_of(report, name if name in SCORES else "val_nmse_db", "test") for report in reports]
        scored = [value for value in test if value is not None]
        bad = next((each for each in trials if each["status"] in ("failed", "pruned")), None)
        status = bad["status"] if bad else "finished" if complete else "running" if any(
            each["status"] != "pending" for each in trials) else "pending"  # fmt: skip
        return {
            "number": number,
            "rules": point.is_rules,
            "status": status,
            "reason": bad["reason"] if bad else "",
            "config": point.config,
            "values": point.values,
            "objectives": objectives,
            "test_db": mean_of(scored).to_json() if complete and len(scored) == len(trials) else None,
            "on_front": False,
            "trials": trials,
        }

    def _trial(self, state: TrialState) -> Json:
        trial, report = state.trial, None
        if state.status == "finished":
            report = self.report_of(state)
        beat = last_beat(self._folder.run(trial.id)) if state.status == "running" else None
        found: Json = {"id": trial.id, "seed": trial.seed, "status": state.status, "reason": state.reason}
        if beat is not None:
            found |= {"step": beat.step, "total_steps": beat.total_steps}
        if report is not None:
            names = (*SHOWN, *COSTS)
            found |= {name: value for name in names if (value := objective_of(report, name)) is not None}
            found["test_db"] = objective_of(report, _score(self._sweep), "test")
        return found

    def _gain(self, points: Sequence[Json], front: Sequence[Json]) -> Json | None:
        """Return what the search gained over the rules: of validation, and of test where both were scored."""
        rules = next((each for each in reversed(points) if each["rules"]), None)
        name = _score(self._sweep)
        best = min(front, key=lambda each: each["objectives"][name]["mean"], default=None) if all(
            name in each["objectives"] for each in front) else None  # fmt: skip
        if rules is None or best is None or rules["status"] != "finished":
            return None
        found: Json = {"best": best["number"], "rules": rules["number"], "score": name}
        for split, key in (("val", name), ("test", "test_db")):
            sides = [
                {each["seed"]: each[key] for each in side["trials"] if each.get(key) is not None}
                for side in (rules, best)
            ]
            gain = gain_of(*sides)
            found[split] = None if gain is None else gain.to_json()
        return found


def _score(sweep: Sweep) -> str:
    """Return the score [dB] that gains are stated in: the first objective that is one, else that of the task."""
    named = [name for name in sweep.objectives if name in SCORES]
    return named[0] if named else "val_nmse_db" if sweep.base.recipe.task == "pa" else "val_objective_db"


def is_over(state: SweepState) -> bool:
    """Return whether every trial is decided."""
    return all(each.status in DECIDED for each in state.trials.values())


def best_point(content: Mapping[str, Any], limits: Mapping[str, float]) -> Json:
    """Return the point with the lowest first objective among those within limits.

    Args:
        content: of sweep.json.
        limits: upper limit of an objective, by its name.

    Raises:
        RunError: there is none.
    """
    first = content["objectives"][0]
    found = [each for each in content["points"] if first in each["objectives"]]
    if not found:
        raise RunError("no configuration of this sweep is finished yet")
    within = [
        each for each in found
        if all(name in each["objectives"] and each["objectives"][name]["mean"] <= most for name, most in limits.items())
    ]  # fmt: skip
    if not within:
        least = ", ".join(f"{name} {_least(found, name)}" for name in limits)
        raise RunError(f"no configuration is within this budget; the lowest of this sweep: {least}")
    best: Json = min(within, key=lambda each: each["objectives"][first]["mean"])
    return best


def _least(points: Sequence[Mapping[str, Any]], name: str) -> str:
    """Return the lowest mean of an objective as text."""
    means = [each["objectives"][name]["mean"] for each in points if name in each["objectives"]]
    return f"{min(means):g}" if means else "not known"


def compact(report: Mapping[str, Any]) -> Json:
    """Return what the results of a sweep take from a report."""
    splits = {
        name: {key: chosen(scores).get(key) for key in SCORES.values()}
        for name, scores in report.get("splits", {}).items()
    }
    return {"splits": splits} | {key: report.get(key) for key in (*COSTS, "seconds")}
