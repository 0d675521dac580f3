"""From what is wrong with a run to a recipe with the advice in it: the first half of the closed loop.

The findings about the recipe come first (they name causes, with measured values), then those about the run, which saw
symptoms. Each patch is made alone and must leave a recipe that loads; a key that one finding has set is not touched by
another. How a model is scored is never changed: a better figure by an easier score is no repair. Whether the new recipe
trains better, `training.rerun` measures.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpdrun.diagnosis.diagnose import diagnose
from dpdrun.errors import RecipeError, RunError
from dpdrun.plan.lint import lint
from dpdrun.plan.prepare import locate_pa
from dpdrun.plan.recorded import plan_of
from dpdrun.recipe.comments import annotate_changed_values
from dpdrun.recipe.loader import Loaded, load_recipe, load_text
from dpdrun.recipe.patch import apply_patch
from dpdrun.rules.engine import Finding
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.run.folder import RunFolder

SCORING = ("train.eval_on", "data")  # what a score is measured by
MOST_FIXES = 100
SURE = 2.0  # standard errors that a gain must exceed; with two or three seeds a rule of thumb, not a test
REPAIRS = "repairs"  # in a run folder


@dataclass(frozen=True)
class Repair:
    """A recipe before and after.

    Attributes:
        before: the recipe of the run.
        after: the same with the patches in its text.
        applied: findings whose patch is in `after`, in this order.
        left: findings of the run that no patch answers.
    """

    before: Loaded
    after: Loaded
    applied: list[Finding]
    left: list[Finding]


def propose(path: Path, *, rejected: Iterable[str] = ()) -> Repair:
    """The repaired recipe of a run folder; nothing is written.

    Args:
        path: run folder, finished or not.
        rejected: codes whose patch is known not to help.

    Raises:
        RunError: there is no such run, or it cannot be read.
    """
    run = RunFolder.open(path)
    plan = plan_of(run)
    before = load_recipe(run.recipe)
    paths = {"data.source": plan.recipe.data.source} if before.recipe.data.source != plan.recipe.data.source else {}
    if locate_pa(before) != plan.recipe.pa:
        paths["pa"] = plan.recipe.pa
    if paths:  # relative to where the run was begun, or moved since
        before = load_text(apply_patch(before.text, paths), before.path)
    refused = set(rejected)
    loaded, applied, taken = before, list[Finding](), set[str]()
    while len(applied) < MOST_FIXES:  # one fix can settle another finding: ask again after each
        facts = PlanFacts.of_recipe(loaded.recipe, frames=plan.frames_per_epoch)
        advised = [f for f in lint(loaded, facts).findings if f.severity != "info" and f.code not in refused]
        for finding in sorted(advised, key=lambda each: (each.severity != "error", each.code)):
            if (patched := _patched(loaded, finding, taken)) is not None:
                break
        else:
            break
        loaded, taken = patched, taken | set(finding.patch)
        applied.append(finding)
    left: list[Finding] = []
    for seen in diagnose(path).findings:
        if seen.severity == "info":
            continue
        patched = None if seen.code in refused else _patched(loaded, seen, taken)
        if patched is None:
            left.append(seen)
        else:
            loaded, taken = patched, taken | set(seen.patch)
            applied.append(seen)
    return Repair(before, loaded, applied, left)


@dataclass(frozen=True)
class Attempt:
    """One repair of a run, in a folder of its own: `RUN/repairs/1`, `RUN/repairs/2`, ...

    Attributes:
        rejected: codes that earlier attempts tried alone and that did not help.
    """

    folder: Path
    repair: Repair
    rejected: tuple[str, ...]

    @property
    def recipe(self) -> Path:
        """The repaired recipe."""
        return self.folder / "recipe.yaml"

    @property
    def outcome(self) -> Path:
        """What its training showed: kept or rejected."""
        return self.folder / "comparison.json"


def next_attempt(path: Path) -> Attempt:
    """The repair to try now; one that was begun and not decided is taken up again.

    After several changes were rejected together, they are tried one by one; what was rejected alone is not tried again.

    Raises:
        RunError: as `propose`, or there is nothing (more) to change.
    """
    run = RunFolder.open(path)
    folders = sorted((path / REPAIRS).glob("[0-9]*"), key=lambda each: int(each.name))
    decided = [run.read_json(each / "comparison.json") for each in folders if (each / "comparison.json").is_file()]
    refused = [each["codes"] for each in decided if not each["kept"]]
    rejected = tuple(codes[0] for codes in refused if len(codes) == 1)
    repair = propose(path, rejected=rejected)
    if any(len(codes) > 1 for codes in refused) and len(repair.applied) > 1:
        others = [finding.code for finding in repair.applied[1:]]
        repair = propose(path, rejected=[*rejected, *others])
    require_change(repair, path)
    number = 1 + max((int(each.name) for each in folders), default=0)
    if folders and not (folders[-1] / "comparison.json").is_file():
        recipe = folders[-1] / "recipe.yaml"
        if recipe.is_file() and recipe.read_text(encoding="utf-8") == repair.after.text:
            number -= 1
    return Attempt(path / REPAIRS / str(number), repair, rejected)


@dataclass(frozen=True)
class Comparison:
    """Validation NMSE [dB] by seed, before and after.

    Attributes:
        seeds: of `train.seed`.
        before_db, after_db: one a seed.
    """

    seeds: list[int]
    before_db: list[float]
    after_db: list[float]

    @property
    def gains_db(self) -> list[float]:
        """What the repair gained with each seed, positive = better [dB]."""
        return [before - after for before, after in zip(self.before_db, self.after_db, strict=True)]

    @property
    def gain_db(self) -> float:
        """Mean over the seeds [dB]."""
        return statistics.mean(self.gains_db)

    @property
    def spread_db(self) -> float | None:
        """Standard deviation of the gain over the seeds [dB]; None with one seed."""
        return statistics.stdev(self.gains_db) if len(self.seeds) > 1 else None

    @property
    def kept(self) -> bool:
        """Whether the gain is positive and, with several seeds, SURE standard errors above zero."""
        error = 0.0 if self.spread_db is None else self.spread_db / math.sqrt(len(self.seeds))
        return self.gain_db > SURE * error and self.gain_db > 0

    def to_json(self) -> dict[str, Any]:
        """The stable machine-readable form."""
        return {
            "seeds": self.seeds,
            "before_db": self.before_db,
            "after_db": self.after_db,
            "gain_db": self.gain_db,
            "spread_db": self.spread_db,
            "kept": self.kept,
        }


def require_change(repair: Repair, path: Path) -> None:
    """Raises RunError when there is nothing to change, saying what was found."""
    if repair.applied:
        return
    if repair.left:
        named = ", ".join(finding.code for finding in repair.left)
        raise RunError(f"{path}: no recipe change answers {named}; see the advice of `dpdrun diagnose {path}`")
    raise RunError(f"{path}: nothing to fix: no warning and no error")


def _patched(loaded: Loaded, finding: Finding, taken: set[str]) -> Loaded | None:
    """The recipe with the patch of a finding; None where it has none, or it may not or cannot be made."""
    patch: dict[str, Any] = finding.patch
    if not patch or taken & set(patch) or any(key.startswith(SCORING) for key in patch):
        return None
    try:
        after = load_text(annotate_changed_values(loaded.text, apply_patch(loaded.text, patch)), loaded.path)
    except RecipeError:
        return None
    return None if after.recipe == loaded.recipe else after
