"""Decides whether a run can be resumed, before anything is written: which run it is, and whether its files are intact.

A run folder outlives machines, copies and clean-ups; what has become of it shows here, not after hours of training.
`--auto-resume` may be given again and again until the run is finished, as a job scheduler does: a finished run is left
as it is, one with a checkpoint continues, and one that ended before its first checkpoint is renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dpdrun import __version__
from dpdrun.data.capture import Capture
from dpdrun.data.sources import locate_source
from dpdrun.errors import RecipeError, RunError
from dpdrun.plan.digest import UNCOUNTED, changed_keys, digest_of
from dpdrun.plan.plan import Plan
from dpdrun.plan.prepare import locate_pa, names_a_run
from dpdrun.plan.recorded import capture_of, capture_section, plan_of
from dpdrun.plan.threads import with_threads
from dpdrun.recipe import plugins
from dpdrun.recipe.conflicts import values_of
from dpdrun.recipe.fields import AUTO, OFF
from dpdrun.recipe.loader import Loaded, load_recipe
from dpdrun.recipe.patch import render
from dpdrun.run.files import PARTIAL, decode_numbers, unwritable
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import Metrics, logged_until, read_metrics
from dpdrun.training import checkpoint
from dpdrun.training.checkpoint import Progress

Headers = Mapping[Path, Mapping[str, str]]
ON_FINDING = "train.on_finding"
SHOWN_CHANGES = 5
READ_ON_RESUME = ("samples", "frames_crc", "loss", "grad_norm", "lr")  # of the line of a step
NEW_RUN = "or start a new run with another --run-dir"


def should_resume(run: RunFolder) -> bool:
    """Return whether `--resume` decides about a folder: there is something to resume, or was.

    Raises:
        RunError: plan.json is damaged.
    """
    if run.report.is_file() or run.last.is_file():
        return True
    return run.plan.is_file() and _has_lost_its_checkpoint(run, recorded_plan(run))


def archive_unstarted(run: RunFolder) -> Path | None:
    """Rename the folder of a run without a checkpoint, as `archive`; returns None where there is no such run."""
    folder = run.last.parent
    ours = {folder.name, run.recipe.name}  # of a run that was killed before its plan was written
    is_ours = run.plan.is_file() or (
        folder.is_dir()
        and not any(folder.iterdir())
        and all(path.name in ours or path.name.endswith(PARTIAL) for path in run.path.iterdir())
    )
    return archive(run) if is_ours else None


def archive(run: RunFolder) -> Path:
    """Rename the folder of a run to `<name>.old-N`, and return that path; nothing is lost.

    Raises:
        RunError: a process is training in it, or it cannot be renamed.
    """
    path = run.path
    with run.lock():
        number = 1
        while (old := path.with_name(f"{path.name}.old-{number}")).exists():
            number += 1
        try:
            return path.rename(old)
        except OSError as error:
            raise unwritable(old, error) from error


def _recorded_recipe(run: RunFolder) -> Loaded:
    """Return the recipe that a run was started with. Raises RunError where it is missing or damaged."""
    try:
        return load_recipe(run.recipe)
    except RecipeError as exc:
        if not run.recipe.is_file():
            raise RunError(f"{run.recipe}: missing; restore the recipe of this run, {NEW_RUN}") from exc
        raise RunError(
            f"{exc}\nthis is no longer the recipe that the run was started with; restore it, {NEW_RUN}"
        ) from exc


def recorded_plan(run: RunFolder) -> Plan:
    """Return the plan that a run was started with. Raises RunError where it is missing or damaged."""
    try:
        return plan_of(run)
    except RunError as exc:
        raise RunError(f"{exc}; bring a copy of {run.plan.name} back, {NEW_RUN}") from exc


def recorded_report(run: RunFolder) -> dict[str, Any]:
    """Return the report of a finished run. Raises RunError where it is damaged."""
    try:
        return run.read_json(run.report)
    except RunError as exc:
        raise RunError(f"{exc}; remove it, and the run is scored again by\n  {run.resume_command}") from exc


def plan_to_resume(loaded: Loaded, run: RunFolder) -> Plan:
    """Return the plan that a run was started with, its capture and its PA run where they are now.

    Raises:
        RunError: `loaded` is not the recipe of that run; only paths may differ, and what decides no weight.
        DataError: the capture is not there; of a finished run, which trains no more, also that it holds other samples.
    """
    began = _recorded_recipe(run)
    before, now = values_of(began.recipe), values_of(loaded.recipe)
    free = set(UNCOUNTED)  # they decide no weight
    if "adapt" not in (before.get(ON_FINDING), now.get(ON_FINDING)):
        free.add(ON_FINDING)
    if not (names_a_run(began.recipe) and names_a_run(loaded.recipe)):
        free.remove("pa")  # another kind of PA model, not another place of the same
    if OFF in (before["train.init_from"], now["train.init_from"]):
        free.remove("train.init_from")
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key) and key not in free]
    if keys:
        changes = [f"{key} {_shown(before, key)} -> {_shown(now, key)}" for key in keys[:SHOWN_CHANGES]]
        more = f" and {len(keys) - SHOWN_CHANGES} more" if len(keys) > SHOWN_CHANGES else ""
        raise RunError(
            f"{run.path}: --resume with another recipe than that of this run: {', '.join(changes)}{more}\n"
            f"  to continue with its own recipe: dpdrun train {run.recipe} --run-dir {run.path} --resume\n"
            "  to try the new recipe:   give another --run-dir, without --resume"
        )
    plan = recorded_plan(run)
    if found := plugins.changed(run.read_json(run.plan)):
        raise RunError(
            f"{run.path}: a plug-in has changed since this run was started ({found[0]}); bring it back, {NEW_RUN}"
        )
    source, pa = plan.recipe.data.source, plan.recipe.pa
    has_moved = began.recipe.data.source != loaded.recipe.data.source
    if has_moved:
        source = locate_source(loaded.recipe.data.source, recipe=loaded.path)
    if before["pa"] != now["pa"]:
        pa = locate_pa(loaded)
    plan = plan.at(data_source=source, pa=pa)
    if not run.report.is_file():
        capture_section(run, plan)
    elif has_moved:
        capture_of(run, plan, str(plan.recipe.data.source))
    train, every = plan.recipe.train, loaded.recipe.train.checkpoint_every
    wanted = loaded.recipe.train.threads
    threads = train.threads if wanted == AUTO else wanted
    train = train.model_copy(update={"on_finding": loaded.recipe.train.on_finding, "threads": threads})
    plan = with_threads(replace(plan, recipe=plan.recipe.model_copy(update={"train": train})))  # an old plan has none
    return plan if every == AUTO else replace(plan, checkpoint_every=0 if every == OFF else every)


def _shown(values: Mapping[str, Any], key: str) -> str:
    return render(values[key]) if key in values else "(none)"


def require_checkpoint(run: RunFolder, plan: Plan) -> Headers:
    """Refuse a run that has no checkpoint, or whose files are damaged or do not belong together.

    Returns:
        The headers of the last checkpoint and of the best model, for `require_same`.

    Raises:
        RunError: naming the file, what is wrong with it, and what can still be used.
    """
    if not run.last.is_file():
        why = "it ended before its first checkpoint (train.checkpoint_every sets how often they are written)"
        remedy = "; start a new run with another --run-dir"
        if plan.recipe.model.kind == "gmp":
            why = "a least-squares fit has no checkpoints"
        elif _has_lost_its_checkpoint(run, plan):
            why, remedy = f"{run.last.name} is missing", checkpoint.remedy_for(run.last)
        raise RunError(f"{run.path}: nothing to resume from: {why}{remedy}")
    headers = {run.last: checkpoint.read_header(run.last)}
    if headers[run.last].get("format") != checkpoint.FORMAT:
        return headers  # not a checkpoint at all, as `checkpoint.restore` will say
    progress = checkpoint.progress_of(run.last, headers[run.last])
    if progress.best_step or run.best.is_file():
        headers[run.best] = checkpoint.read_header(run.best)  # else the end of training would meet the damage
    if run.refinement.is_file():
        checkpoint.read_header(run.refinement)
    _require_logged(run, progress)
    return headers


def _has_lost_its_checkpoint(run: RunFolder, plan: Plan) -> bool:
    """Return whether a run without `run.last` came far enough to have had one."""
    try:
        logged = len(read_metrics(run.path).steps)
    except RunError:
        logged = 0
    # more than that many steps: the line of a step is on the disk before the checkpoint that goes with it
    return any(run.rollback_points()) or 0 < plan.checkpoint_every < logged


def _require_logged(run: RunFolder, progress: Progress) -> None:
    """Refuse a log that does not hold every step up to the checkpoint."""
    hint = f"bring a copy of it back, {NEW_RUN}"
    if progress.step and not run.metrics.is_file():
        raise RunError(f"{run.metrics}: missing, and training continues from what it says; {hint}")
    log = Metrics()
    try:
        for line in logged_until(run, progress.step, progress.adapts):
            log.add(decode_numbers(line))
        steps = [line["step"] for line in log.steps]
        readable = all(_is_number(line[key]) for line in log.steps for key in READ_ON_RESUME)
        readable &= all(_is_number(line["val_nmse_db"]) for line in log.evals)
    except (KeyError, TypeError, ValueError) as exc:
        raise RunError(f"{run.metrics}: a line in it is damaged ({exc!r}); {hint}") from exc
    except RunError as exc:
        raise RunError(f"{exc}; {hint}") from exc
    expected = range(1, max(progress.step, len(steps)) + 1)
    missing = next((step for step in expected if steps[step - 1 : step] != [step]), None)
    if missing is not None:
        raise RunError(
            f"{run.metrics}: the line of step {missing} is missing or out of place, and the checkpoint is of step "
            f"{progress.step}; {hint}"
        )
    if not readable:
        raise RunError(
            f"{run.metrics}: a line holds no number for one of {', '.join(READ_ON_RESUME)}, val_nmse_db; {hint}"
        )


def _is_number(value: object) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 1 << 63)


def require_same(run: RunFolder, plan: Plan, capture: Capture, headers: Headers) -> None:
    """Refuse files of another plan, and say what differs.

    The plan was read from plan.json through the schema of this version, so there are three causes: the data have
    changed, the schema has, or plan.json has.
    """
    stored, own = headers[run.last].get("plan_hash"), plan.digest(capture.sha256)
    if stored is None or stored == own:  # None: not a checkpoint at all, as `checkpoint.restore` will say
        if headers.get(run.best, {}).get("plan_hash", own) != own:
            raise RunError(
                f"{run.best}: made by another recipe or other data than {run.last.name} next to it; bring the file of "
                f"this run back, {NEW_RUN}"
            )
        return
    written = run.read_json(run.plan)
    maker, sha256 = written.pop("dpdrun", None), written.pop("data_sha256", None)
    if sha256 is not None and sha256 != capture.sha256:
        raise RunError(
            f"{run.path}: {capture.name} has changed since this run was started (sha256 {capture.sha256[:12]}, was "
            f"{sha256[:12]}); bring the file back, {NEW_RUN}"
        )
    if digest_of(written, capture.sha256) == stored:
        keys = changed_keys(written, plan.to_json())
        version = f"dpdrun {maker}" if maker else "an earlier dpdrun"
        raise RunError(
            f"{run.path}: this run was started by {version}, whose plans differ from those of this one "
            f"({__version__}) in {', '.join(keys[:SHOWN_CHANGES])}; resume it with that version, {NEW_RUN}"
        )
    causes = "plan.json has been changed" if sha256 is not None else "its data or its plan.json have changed"
    other = f"an earlier state of dpdrun {maker}"
    if maker != __version__:
        other = f"another version of dpdrun ({maker or 'unknown'}; this is {__version__})"
    raise RunError(
        f"{run.path}: the checkpoint does not belong to this plan: {causes} since it was written, or it was written by "
        f"{other}; {NEW_RUN}"
    )
