"""Turn configurations into trials: every one is checked against recipe, data and machine before the first run.

A trial is a run folder named by the hash of its plan and its samples (`Plan.digest`), so the same inputs are the same
trial, in every sweep. Point 0 is the recommendation of the rules: the recipe with every swept field that takes `auto`
at `auto`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dpdrun.data.capture import Capture
from dpdrun.errors import DataError, RecipeError
from dpdrun.plan.plan import Plan
from dpdrun.plan.prepare import needs_torch, prepare
from dpdrun.recipe.conflicts import values_of
from dpdrun.recipe.fields import AUTO
from dpdrun.recipe.loader import Loaded, load_text
from dpdrun.recipe.patch import render
from dpdrun.recipe.problems import Mark, Problem, recipe_error
from dpdrun.recipe.yaml12 import parse
from dpdrun.sweep.document import Sweep
from dpdrun.sweep.space import Config, Dimension, grid, overrides_of

DIGITS = 16  # of the hash in the name of a trial: 2^64 of them
Doing = Callable[[int, int], None]  # how many configurations are checked, of how many


@dataclass(frozen=True)
class Trial:
    """One run: `id` names its folder, `overrides` make its recipe from that of the sweep."""

    id: str
    seed: int
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Point:
    """A configuration with a trial for each seed.

    Attributes:
        config: the swept fields as written; `values` as the plan has them.
        trials: one for each seed.
        data_sha256: of its samples.
        is_rules: what the rules give.
        search: what the search keeps about it.
    """

    config: dict[str, str]
    values: dict[str, Any]
    trials: tuple[Trial, ...]
    data_sha256: str
    is_rules: bool = False
    search: Mapping[str, Any] | None = None

    @property
    def key(self) -> tuple[tuple[str, ...], ...]:
        """What tells one point from another: its configuration and its trials."""
        return overrides_of(self.config), tuple(each.id for each in self.trials)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Point:
        """Read back `to_json`. Raises ValueError, KeyError or TypeError for anything else."""
        trials = tuple(
            Trial(str(each["id"]), int(each["seed"]), tuple(each["overrides"])) for each in content["trials"]
        )
        if not trials or any(
            Path(each.id).name != each.id or each.id == ".." for each in trials
        ):  # which are names of folders
            raise ValueError("a point without trials, or with a trial in another folder")
        if not all(isinstance(content[name], dict) for name in ("config", "values")):
            raise TypeError("a point without its values")
        return cls(**{**content, "trials": trials})


@dataclass(frozen=True)
class LeftOut:
    """A configuration that cannot work, and why."""

    config: dict[str, str]
    reason: str


@dataclass(frozen=True)
class Planned:
    """The points of a sweep, point 0 first, and what was left out."""

    points: tuple[Point, ...]
    left_out: tuple[LeftOut, ...]


def rules_config(sweep: Sweep) -> dict[str, str]:
    """Return the configuration of point 0."""
    return {each.key: AUTO for each in sweep.over if each.has_rule}


def all_overrides(sweep: Sweep, config: Config) -> tuple[str, ...]:
    """Return the overrides of a configuration: those of the sweep, then its own.

    Of a variant of the model that is a gmp, what the recipe says about steps is dropped: it is fitted, without any.
    """
    root, _ = parse(config.get("model", ""), "model")
    model = None if root is None else root.plain()
    is_fitted = isinstance(model, dict) and model.get("kind") == "gmp" and sweep.base.recipe.model.kind != "gmp"
    return (*sweep.base.overrides, *(("optim={}", "train={}") if is_fitted else ()), *overrides_of(config))


def plan_points(sweep: Sweep, doing: Doing | None = None) -> Planned:
    """Return the points of a sweep; of a search only point 0, after a check of the values that it draws from.

    Raises:
        RecipeError: a value is wrong in every combination, or no combination works; with every problem and its mark.
        DataError: the capture of the recipe cannot be read.
    """
    configs = list(grid(sweep.over)) if sweep.search == "grid" and sweep.over else []
    checks = configs or [{**rules_config(sweep), each.key: text} for each in sweep.over for text, _ in each.ends()]
    first = plan_point(sweep, rules_config(sweep), is_rules=True)
    points, left_out = ([first], []) if isinstance(first, Point) else ([], [first])
    refused = dict[tuple[str, str], list[Problem]]()  # by value: what is wrong with it in every combination so far
    accepted = set[tuple[str, str]]()
    found = list[Point]()
    for done, config in enumerate(checks):
        if doing is not None:
            doing(done, len(checks))
        problems: list[Problem] = []
        result = plan_point(sweep, config, problems)
        wrong = {key: each for each in problems for key in config if _is_of(each, key, config[key])}
        for key, value in config.items():
            if key in wrong:
                refused.setdefault((key, value), []).append(wrong[key])
            else:
                accepted.add((key, value))
        if isinstance(result, Point):
            found.append(result)
        else:
            left_out.append(result)
    mistakes = dict[tuple[str, str], Problem]()
    for (key, value), each in refused.items():
        if (key, value) not in accepted:  # an unknown field is one mistake, not one of each of its values
            mistakes.setdefault((key, each[0].message), _at(sweep.over, key, value, each[0]))
    if mistakes:
        raise recipe_error(mistakes.values())
    if configs:
        points += found
        if not found:
            raise _nothing_left(left_out)
    elif sweep.over and not found:
        raise _nothing_left(left_out)
    if not points:
        raise _nothing_left(left_out)
    return Planned(tuple(points), tuple(left_out))


def plan_point(
    sweep: Sweep, config: Config, problems: list[Problem] | None = None, *, is_rules: bool = False,
    search: Mapping[str, Any] | None = None,
) -> Point | LeftOut:  # fmt: skip
    """Return the point of a configuration, or why it cannot work.

    Args:
        sweep: that it belongs to.
        config: the swept fields.
        problems: gets the values that the recipe does not take.
        is_rules, search: of the point.

    Raises:
        DataError: the capture cannot be read.
    """
    overrides = all_overrides(sweep, config)
    try:
        loaded = load_text(sweep.base.text, sweep.base.path, overrides)
        plan, capture = _prepared(loaded)
    except RecipeError as error:
        if problems is not None:
            problems += [each for each in error.problems if not each.is_conflict]
        return LeftOut(dict(config), str(error))
    except DataError as error:
        if "data.source" not in config:
            raise
        return LeftOut(dict(config), str(error))
    values = values_of(plan.recipe)
    shown = {each.key: _shown(values, each.key) for each in sweep.over}
    place = _place_of(plan)
    own = overrides[len(sweep.base.overrides) :]
    trials = tuple(_trial(plan, capture, seed, (*own, *place)) for seed in sweep.seeds)
    return Point(dict(config), shown, trials, capture.sha256, is_rules, search)


def _prepared(loaded: Loaded) -> tuple[Plan, Capture]:
    if not needs_torch(loaded.recipe):
        return prepare(loaded)
    from dpdrun.training import job

    return job.prepare_training(loaded)


def _shown(values: Mapping[str, Any], key: str) -> Any:
    """Return a value of a plan; a section as the fields in it."""
    if key in values:
        return values[key]
    inner = {name.removeprefix(f"{key}."): value for name, value in values.items() if name.startswith(f"{key}.")}
    return render(inner) if inner else None


def _place_of(plan: Plan) -> tuple[str, ...]:
    """Return where capture and PA run are, as overrides that hold in every working folder."""
    source = render(plan.recipe.data.source)
    return (f"data.source={source}", *([f"pa={render(plan.recipe.pa)}"] if plan.recipe.task == "dpd" else []))


def _trial(plan: Plan, capture: Capture, seed: int, overrides: tuple[str, ...]) -> Trial:
    train = plan.recipe.train.model_copy(update={"seed": seed})
    seeded = replace(plan, recipe=plan.recipe.model_copy(update={"train": train}))
    return Trial(seeded.digest(capture.sha256)[:DIGITS], seed, (*overrides, f"train.seed={seed}"))


def _is_of(problem: Problem, key: str, value: str) -> bool:
    return problem.mark.name == f"--set {key}={value}"


def _at(over: Iterable[Dimension], key: str, value: str, problem: Problem) -> Problem:
    """Return a problem at the place where its value is written."""
    dimension = next(each for each in over if each.key == key)
    fallback = Mark(f"--over {key}={value}")
    marks = dict([*dimension.choices(), *dimension.ends()])
    return replace(problem, mark=marks.get(value, fallback))


def _nothing_left(left_out: Iterable[LeftOut]) -> RecipeError:
    reasons = dict.fromkeys(each.reason for each in left_out)
    return RecipeError("\n".join(["no configuration of this sweep can work:", *list(reasons)[:10]]))
