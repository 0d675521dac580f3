"""What was tried: the trials of a search as rows, the best of them, and its copy as a step of the pipeline."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from dpdrun.auto.product import Product
from dpdrun.recipe.loader import Loaded, load_text
from dpdrun.recipe.schema import Recipe
from dpdrun.run.files import Json, unwritable
from dpdrun.run.folder import RunFolder
from dpdrun.sweep.folder import SweepFolder
from dpdrun.sweep.results import Results
from dpdrun.training.resume import archive

BETTER_DB = 0.2  # of a PA model that is worth another search for predistorters
# Of a gmp, to be predistorted in place of a network: beyond the peaks that it was fitted to, its powers of the envelope
# grow without bound. On synthetic/hard, where the amplifier itself is known, a GRU that is 3.3 dB worse than the gmp on
# validation gave a predistorter that is 4.5 dB better (`make auto-judges`, docs/results.md#pa-models-that-judge).
GMP_BETTER_DB = 3.0


@dataclass(frozen=True)
class Candidate:
    """A finished trial, with what it is chosen by: the validation score, in dB."""

    run: RunFolder
    loaded: Loaded
    kind: str
    score_db: float


def trials_of(folder: SweepFolder) -> list[Json]:
    """Return a row for each trial of a search: what, score [dB], time [s], status; the best first."""
    sweep, state = folder.load(), folder.journal.read()
    content, rows = Results(folder, sweep).make(state), list[Json]()
    name = content["objectives"][0]
    for trial in (trial for point in content["points"] for trial in point["trials"]):
        known = state.trials[trial["id"]]
        run, overrides = folder.run(trial["id"]), [*sweep.base.overrides, *known.trial.overrides]
        refined = run.read_json(run.report).get("finish") if run.report.is_file() else None
        seconds = max(known.core_seconds, (refined or {}).get("seconds", 0.0))  # of one that is kept: before that
        what = in_words(load_text(sweep.base.text, sweep.base.path, overrides).recipe)
        rows.append({"search": folder.path.name, "id": trial["id"], "configuration": what, "seed": trial["seed"],
                     "score": name, "score_db": trial.get(name), "seconds": round(seconds, 1),
                     "status": trial["status"], "reason": trial["reason"]})  # fmt: skip
    return sorted(rows, key=lambda row: (row["score_db"] is None, row["score_db"] or 0.0))


def trial_line(folder: SweepFolder, trial_id: str) -> str:
    """Return one line about a trial that is decided: what it was, and its score or why it has none."""
    row = next(each for each in trials_of(folder) if each["id"] == trial_id)
    score = row["score_db"]
    found = f"{row['status']}: {row['reason']}" if score is None else f"{score:.2f} dB on the validation split"
    return f"{folder.path.name}: {row['configuration']}, seed {row['seed']}: {found}, after {row['seconds']:.0f} s"


def in_words(recipe: Recipe, limit: str = "") -> str:
    """Return what tells a trial from the others of its search; `limit` stands before the number of iterations."""
    if recipe.model.kind == "gmp":
        return "gmp, least squares"
    words = [recipe.model.kind, f"{recipe.train.max_steps:,} steps of AdamW"]
    if recipe.optim.refine == "lm":
        words.append(f"{limit}{recipe.optim.refine_iterations:,} iterations of Levenberg-Marquardt")
        words += ["weights over the spectrum"] if recipe.train.loss != "time" else []
        words += ["augmented"] if recipe.dpd.augment == "on" else []
    else:
        words.append("rates by the rules")
    return ", ".join(words)


def pa_model(candidates: Sequence[Candidate], before: RunFolder) -> Candidate:
    """Return the best candidate; the one that predistorters are trained through already, unless that is clearly worse.

    A gmp is taken only where it is clearly better than every network.

    Args:
        candidates: the best first.
        before: its copy, if there is one.
    """
    used = next((each for each in candidates if _is_copy(before, each)), None)
    best = min(candidates, key=lambda each: each.score_db + GMP_BETTER_DB * (each.kind == "gmp"))
    return used if used is not None and used.score_db - best.score_db < BETTER_DB else best


def judge(candidates: Sequence[Candidate], pa: Candidate) -> Candidate | None:
    """Return the best candidate of another kind than the PA model, a network if there is one; None if there is none.

    A network holds for the peaks of a predistorted signal even where its own error is larger: what a gmp makes of them
    says little (`make auto-judges`).
    """
    others = [each for each in candidates if each.kind != pa.kind]
    return min(others, key=lambda each: (each.kind == "gmp", each.score_db), default=None)


def _is_copy(run: RunFolder, candidate: Candidate) -> bool:
    return bool(run.plan.is_file() and run.model.read_bytes() == candidate.run.model.read_bytes())


def keep(candidate: Candidate, product: Product, step: str) -> bool:
    """Copy the run of a trial to the folder of a step; a run of another trial there is renamed to `<step>.old-N`.

    Returns:
        Whether anything was copied.

    Raises:
        RunError: a folder cannot be written.
    """
    target = product.step(step)
    if _is_copy(target, candidate):
        return False
    if target.path.exists():
        archive(target)
    temporary = target.path.with_name(f".{step}.partial")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.copytree(candidate.run.path, temporary)
        temporary.rename(target.path)
    except OSError as error:
        raise unwritable(target.path, error) from error
    return True
