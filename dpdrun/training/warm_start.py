"""Starts training from the weights of another run (`train.init_from`), and freezes parts of them (`train.freeze`).

A parameter is taken where name and shape agree. The scales are those of the new capture: a model computes at unit rms,
so weights that were trained at another drive level, or in other units, begin at the level that they know.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch import Tensor, nn

from dpdrun import models
from dpdrun.data.checks import suggestion
from dpdrun.errors import RunError
from dpdrun.models import _tensors
from dpdrun.models._base import BehaviouralModel
from dpdrun.models._overlap import OverlappingModel
from dpdrun.models._random_state import random_state_preserved
from dpdrun.plan.measured import Initialization
from dpdrun.plan.plan import Plan
from dpdrun.plan.recorded import plan_of
from dpdrun.recipe.fields import OFF
from dpdrun.recipe.loader import Loaded
from dpdrun.recipe.problems import listed
from dpdrun.run.files import sha256_of
from dpdrun.run.folder import RunFolder
from dpdrun.training.telemetry import group_of

INIT_FROM, FREEZE = "train.init_from", "train.freeze"
SHOWN = 4  # tensors that a message lists


def resolve(loaded: Loaded, plan: Plan) -> Plan:
    """Return the plan with its `init`: what of the weights of another run fits its model, and what is frozen.

    Raises:
        RecipeError: there is no such run, it has no model yet, none of its tensors fits, or a pattern matches nothing
            that was taken; with line and column of the field.
    """
    section = plan.recipe.train
    if section.init_from == OFF:
        return plan
    with random_state_preserved():
        model = models.build(plan.recipe.model, scale_x=1.0, scale_y=1.0)
    try:
        source = _weights_of(Path(section.init_from), kind=plan.recipe.model.kind)
        init = _fitting(model, _tensors.read(source)[0], sha256_of(source))
    except RunError as error:
        raise loaded.error([(INIT_FROM, f"{INIT_FROM}: {error}")]) from None
    if not init.taken:
        why = "; ".join(f"{name}: {reason}" for name, reason in list(init.fresh.items())[:SHOWN])
        message = f"{INIT_FROM}: none of the tensors of {section.init_from} fits this model ({why})"
        raise loaded.error([(INIT_FROM, message)])
    if section.freeze != OFF:
        init = replace(init, frozen=_frozen(loaded, section.freeze, model, init))
    return replace(plan, init=init)


def _frozen(loaded: Loaded, patterns: Sequence[str], model: BehaviouralModel, init: Initialization) -> tuple[str, ...]:
    """Return the names of the parameters that patterns freeze. Raises RecipeError as `resolve`.

    Patterns may name the parts of a plain module, of a plug-in or passed from Python, as that module does.
    """
    problems, frozen = [], set[str]()
    names = [name for name, _ in model.named_parameters()]
    wrapper = "module." if isinstance(model, OverlappingModel) else ""
    for pattern in patterns:
        matched = [name for name in names if _matches(name, pattern) or _matches(name.removeprefix(wrapper), pattern)]
        if not matched:
            own = [name.removeprefix(wrapper) for name in names]
            parts = list(dict.fromkeys(map(group_of, own)))
            hint = suggestion(pattern, [*parts, *own])
            problems.append(f"{FREEZE}: {pattern} matches no parameter{hint}; the parts are {listed(parts, 'and')}")
        elif unknown := next((name for name in matched if name in init.fresh), None):
            problems.append(
                f"{FREEZE}: {pattern} would freeze {unknown} at random weights ({init.fresh[unknown]}); "
                "freeze only what is taken"
            )
        frozen.update(matched)
    if not problems and frozen == set(names):
        problems.append(f"{FREEZE}: nothing is left to train; leave a part out")
    if problems:
        raise loaded.error([(FREEZE, problem) for problem in problems])
    return tuple(name for name in names if name in frozen)


def start(model: BehaviouralModel, plan: Plan, *, weights: bool = True) -> None:
    """Copy the weights that a plan starts from into a model, and freeze what it freezes.

    Args:
        model: fresh.
        plan: from `resolve`, or read back.
        weights: False where a checkpoint has them.

    Raises:
        RunError: the weights are no longer those that the plan was made with.
    """
    init = plan.init
    if init is None:
        return
    parameters = dict(model.named_parameters())
    if weights:
        source = _weights_of(Path(plan.recipe.train.init_from))
        tensors, _ = _tensors.read(source)
        if sha256_of(source) != init.sha256:
            raise RunError(f"{source}: has changed since this run was planned")
        with torch.no_grad():
            for name in init.taken:
                parameters[name].copy_(tensors[name])
    for name in init.frozen:
        parameters[name].requires_grad_(False)


def summary(plan: Plan) -> list[str]:
    """Return what a run starts from and what it freezes, a sentence each; empty for a fresh one."""
    init = plan.init
    if init is None:
        return []
    total = len(init.taken) + len(init.fresh)
    text = f"starts from {plan.recipe.train.init_from}: {len(init.taken)} of {total} tensors taken"
    if init.fresh:
        text += "; not taken: " + _shortened(f"{name} ({reason})" for name, reason in init.fresh.items())
    if init.unused:
        text += f"; not used: {_shortened(init.unused)}"
    frozen = [f"frozen: {_shortened(dict.fromkeys(map(group_of, init.frozen)))}"] if init.frozen else []
    return [text, *frozen]


def _weights_of(path: Path, *, kind: str | None = None) -> Path:
    """Return the file with the weights of a run. Raises RunError, also where its model is not of the kind."""
    run = RunFolder.open(path)
    if run.weights is None:
        raise RunError(f"{path}: this run has no model yet")
    its = plan_of(run).recipe.model.kind if kind is not None else None
    if its != kind:
        raise RunError(f"{path} holds a {its}, and this recipe trains a {kind}")
    return run.weights


def _fitting(model: nn.Module, tensors: dict[str, Tensor], sha256: str) -> Initialization:
    """Return which parameters of a model the tensors of a file fit."""
    taken, fresh = list[str](), dict[str, str]()
    for name, parameter in model.named_parameters():
        there = tensors.get(name)
        if there is None:
            fresh[name] = "not in that run"
        elif there.shape != parameter.shape:
            fresh[name] = f"{tuple(parameter.shape)} here, {tuple(there.shape)} there"
        else:
            taken.append(name)
    known = {*taken, *fresh, *model.state_dict()}
    return Initialization(sha256, tuple(taken), fresh, tuple(name for name in tensors if name not in known))


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def _shortened(names: Iterable[str]) -> str:
    shown: Sequence[str] = list(names)
    more = f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    return ", ".join(shown[:SHOWN]) + more
