"""Going on with a run: whether it is the same one, and its state in every process, of which only one reads files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dpdrun import __version__
from dpdrun.data.capture import Capture
from dpdrun.data.sources import locate
from dpdrun.errors import RunError
from dpdrun.plan.plan import UNCOUNTED, Plan, changed_keys, digest_of
from dpdrun.plan.prepare import locate_pa, names_a_run
from dpdrun.plan.recorded import capture_of, capture_section
from dpdrun.recipe.conflicts import values_of
from dpdrun.recipe.fields import AUTO, OFF
from dpdrun.recipe.loader import Loaded
from dpdrun.recipe.patch import render
from dpdrun.run.folder import RunFolder
from dpdrun.training import checkpoint
from dpdrun.training.checkpoint import Progress
from dpdrun.training.process_group import ProcessGroup
from dpdrun.training.resume_checks import OR_START, recorded_plan, recorded_recipe

ON_FINDING = "train.on_finding"
SHOWN_CHANGES = 5


def plan_to_resume(loaded: Loaded, run: RunFolder) -> Plan:
    """Return the plan that a run began with, its capture and its PA run where they are now.

    Raises:
        RunError: `loaded` is not the recipe of that run; only paths may differ, and what decides no weight.
        DataError: the capture is not there; of a finished run, which trains no more, also that it holds other samples.
    """
    began = recorded_recipe(run)
    before, now = values_of(began.recipe), values_of(loaded.recipe)
    free = set(UNCOUNTED)
    if "adapt" not in (before.get(ON_FINDING), now.get(ON_FINDING)):
        free.add(ON_FINDING)
    if not (names_a_run(began.recipe) and names_a_run(loaded.recipe)):
        free.remove("pa")  # another kind of PA model, not another place of the same
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key) and key not in free]
    if keys:
        changes = [f"{key} {_shown(before, key)} -> {_shown(now, key)}" for key in keys[:SHOWN_CHANGES]]
        more = f" and {len(keys) - SHOWN_CHANGES} more" if len(keys) > SHOWN_CHANGES else ""
        raise RunError(
            f"{run.path}: --resume with another recipe than that of this run: {', '.join(changes)}{more}\n"
            f"  to continue unchanged:   dpdrun train {run.recipe} --run-dir {run.path} --resume\n"
            "  to try the new recipe:   give another --run-dir, without --resume"
        )
    plan = recorded_plan(run)
    at = {"data_source": plan.recipe.data.source, "pa": plan.recipe.pa}
    named = before["data.source"] != now["data.source"]
    if named:
        at["data_source"] = locate(loaded.recipe.data.source, recipe=loaded.path)
    if before["pa"] != now["pa"]:
        at["pa"] = locate_pa(loaded)
    plan = plan.at(**at)
    if not run.report.is_file():
        capture_section(run, plan)
    elif named:
        capture_of(run, plan, plan.recipe.data.source)
    train, every = plan.recipe.train, loaded.recipe.train.checkpoint_every
    train = train.model_copy(update={"on_finding": loaded.recipe.train.on_finding})
    plan = replace(plan, recipe=plan.recipe.model_copy(update={"train": train}))
    return plan if every == AUTO else replace(plan, checkpoint_every=0 if every == OFF else every)


def _shown(values: Mapping[str, Any], key: str) -> str:
    return render(values[key]) if key in values else "(none)"


def require_same(run: RunFolder, plan: Plan, capture: Capture) -> None:
    """Refuse a checkpoint of another plan, saying what differs.

    The plan was read from plan.json through the schema of this version, so there are three causes: the data have
    changed, the schema has, or plan.json has.
    """
    found, own = checkpoint.read_header(run.last).get("plan_hash"), plan.digest(capture.sha256)
    if found is None or found == own:
        _require_own_best(run, own)
        return  # None: not a checkpoint at all, as `restore` will say
    written = run.read_json(run.plan)
    maker, sha256 = written.pop("dpdrun", None), written.pop("data_sha256", None)
    if sha256 is not None and sha256 != capture.sha256:
        raise RunError(
            f"{run.path}: {capture.name} has changed since this run was started (sha256 {capture.sha256[:12]}, was "
            f"{sha256[:12]}); restore the file, {OR_START}"
        )
    if digest_of(written, capture.sha256) == found:
        keys = changed_keys(written, plan.to_json())
        began = f"dpdrun {maker}" if maker else "an earlier dpdrun"
        raise RunError(
            f"{run.path}: this run was started by {began}, whose plan differs from that of {__version__} "
            f"in {', '.join(keys[:SHOWN_CHANGES])}; "
            f"resume it with that version of dpdrun, {OR_START}"
        )
    causes = "plan.json has been changed" if sha256 is not None else "its data or its plan.json have changed"
    raise RunError(
        f"{run.path}: the checkpoint does not belong to this plan: {causes} since it was written, or it was written by "
        f"another version of dpdrun ({maker or 'unknown'}; this is {__version__}); {OR_START}"
    )


def _require_own_best(run: RunFolder, own: str) -> None:
    if run.best.is_file() and checkpoint.read_header(run.best).get("plan_hash", own) != own:
        raise RunError(
            f"{run.best}: made by another recipe or other data than {run.last.name}; restore the file of this run, "
            f"{OR_START}"
        )


def restore(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, group: ProcessGroup, *, plan_hash: str
) -> Progress:
    """As `checkpoint.restore`, for all processes of a group.

    Raises:
        RunError: in the first process; FollowedError in the others.
    """
    progress = Progress.fresh()
    with group.errors_synchronized():
        if group.is_rank_zero:
            progress = checkpoint.restore(path, model, optimizer, plan_hash=plan_hash)
    if group.size == 1:
        return progress
    parameters = dict(model.named_parameters())
    held = {name: optimizer.state.get(each, {}) for name, each in parameters.items()}
    about: dict[str, Any] = {
        "progress": asdict(progress),
        "moments": {name: {key: value.ndim for key, value in state.items()} for name, state in held.items()},
    }
    about = json.loads(group.broadcast_text(json.dumps(about)))
    if not group.is_rank_zero:
        for name, keys in about["moments"].items():
            like = parameters[name]
            # as AdamW makes them: moments like their parameter, the count of steps a float32 beside them
            optimizer.state[like] = {
                key: torch.zeros_like(like) if ndim else torch.zeros((), device=like.device if like.is_cuda else "cpu")
                for key, ndim in keys.items()
            }
    tensors = [value for each in parameters.values() for _, value in sorted(optimizer.state[each].items())]
    group.broadcast_([*model.state_dict().values(), *tensors])
    return Progress.from_json(about["progress"])
