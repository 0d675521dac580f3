"""Which configurations a search tries next, by the samplers of Optuna.

The journal is the only storage: for each new point a study in memory is filled with the points so far. So any worker on
any host can continue a search, and no second file can disagree with the journal.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from dpdrun.errors import RunError
from dpdrun.recipe.patch import render
from dpdrun.run.files import Json
from dpdrun.sweep.document import Sweep
from dpdrun.sweep.journal import SweepState
from dpdrun.sweep.points import LeftOut, Point, plan_point
from dpdrun.sweep.results import Results
from dpdrun.sweep.space import Dimension, Range

MOST_ATTEMPTS = 50  # to draw a configuration that is new and can work, before the space counts as exhausted
POPULATION = 20  # of nsga2; the default of 50 is more than most budgets here
STARTUP = 8  # random configurations before tpe has a model


def require_search(sweep: Sweep) -> None:
    """Raise RunError where the package for a search is missing."""
    if sweep.search != "grid" and find_spec("optuna") is None:
        raise RunError(f"search: {sweep.search} needs Optuna: pip install 'dpdrun[sweep]'; search: grid needs nothing")


def next_points(sweep: Sweep, state: SweepState, results: Results) -> list[Point | LeftOut]:
    """Return what to add when no trial waits: a point, after configurations that cannot work; empty when it is over.

    A search is over when it has used its budget, or finds nothing new in `MOST_ATTEMPTS` draws.
    """
    drawn = [point for point in state.points if point.search is not None]
    budget = sweep.budget
    if sweep.search == "grid" or (budget.trials is not None and len(drawn) >= budget.trials):
        return []
    if budget.core_hours is not None and state.core_seconds >= budget.core_hours * 3600:
        return []
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    found: list[Point | LeftOut] = []
    known = [*(each.config for each in state.points), *(each.config for each in state.left_out)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = _study(sweep, state, results.make(state)["points"])
        for _ in range(MOST_ATTEMPTS):
            trial = study.ask({each.key: _distribution(each) for each in sweep.over})
            params = {each.key: _rounded(trial.params[each.key], each) for each in sweep.over}
            config = {key: _text(value) for key, value in params.items()}
            if config in known:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                continue
            known.append(config)
            kept = {"params": params, "system": _plain(study.trials[-1].system_attrs)}
            point = plan_point(sweep, config, search=kept)
            found.append(point)
            if isinstance(point, Point):
                return found
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
    return found


def _study(sweep: Sweep, state: SweepState, made: Sequence[Json]) -> Any:
    """Return a study that knows the points so far; those that run count for what tpe expects of them."""
    import optuna

    seed = (sweep.seeds[0] * 1_000_003 + len(state.points) + len(state.left_out)) % 2**32
    samplers = {
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        "tpe": lambda: optuna.samplers.TPESampler(
            seed=seed, multivariate=True, constant_liar=True, n_startup_trials=STARTUP
        ),
        "nsga2": lambda: optuna.samplers.NSGAIISampler(seed=seed, population_size=POPULATION),
    }
    directions = ["minimize"] * len(sweep.objectives)
    study = optuna.create_study(directions=directions, sampler=samplers[sweep.search]())
    states = optuna.trial.TrialState
    distributions = {each.key: _distribution(each) for each in sweep.over}
    for point, results in zip(state.points, made, strict=True):
        params = dict(point.search["params"]) if point.search else _params_of_rules(sweep, point)
        if params is None:
            continue
        values = [mean["mean"] for name in sweep.objectives if (mean := results["objectives"].get(name))]
        complete = len(values) == len(sweep.objectives)
        kind = {"failed": states.FAIL, "pruned": states.PRUNED}.get(results["status"], states.RUNNING)
        study.add_trial(
            optuna.trial.create_trial(
                state=states.COMPLETE if complete else kind,
                values=values if complete else None,
                params=params,
                distributions=distributions,
                system_attrs=dict(point.search["system"]) if point.search else {},
            )
        )
    return study


def _params_of_rules(sweep: Sweep, point: Point) -> dict[str, Any] | None:
    """Return what the rules chose as a point of the space; None where it is not in it."""
    params: dict[str, Any] = {}
    for each in sweep.over:
        value = point.values.get(each.key)
        if isinstance(each.values, Range):
            if not isinstance(value, int | float) or not each.values.low <= value <= each.values.high:
                return None
            params[each.key] = value
        elif render(value) in [text for text, _ in each.choices()]:
            params[each.key] = render(value)
        else:
            return None
    return params


def _distribution(dimension: Dimension) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    values = dimension.values
    if not isinstance(values, Range):
        return CategoricalDistribution([text for text, _ in dimension.choices()])
    if values.integer:
        return IntDistribution(int(values.low), int(values.high), log=values.log)
    return FloatDistribution(values.low, values.high, log=values.log)


def _rounded(value: Any, dimension: Dimension) -> Any:
    """Return a drawn number with four digits, within its range: readable in tables and recipes."""
    values = dimension.values
    if not isinstance(values, Range) or not isinstance(value, float):
        return value
    return min(max(float(f"{value:.4g}"), values.low), values.high)


def _text(value: Any) -> str:
    """Return a drawn value as `--set` takes it: choices are such text already."""
    return value if isinstance(value, str) else render(value)


def _plain(attributes: Mapping[str, Any]) -> Json:
    """Return the attributes of a sampler that JSON can hold, such as a generation."""
    return {key: value for key, value in attributes.items() if isinstance(value, int | float | str | list | dict)}
