"""Repair a run: write its recipe with the advice applied, and decide whether that trains better.

Findings about the recipe come first (they name causes, with measured values), then those about the run, which are
symptoms. A key that one finding has set is not touched by another; the learning rate is the one that `diagnose` shows,
which is that of the rules on recipes where they have one. How a model is scored is never changed: a better
figure by an easier score is no repair. `training.rerun` trains the two recipes.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpdrun.diagnosis.agreement import RATE
from dpdrun.diagnosis.diagnose import diagnose
from dpdrun.errors import RunError
from dpdrun.plan.lint import apply_fixes, by_urgency, lint
from dpdrun.plan.prepare import locate_pa
from dpdrun.plan.recorded import plan_of
from dpdrun.recipe.loader import Loaded, load_recipe, load_text
from dpdrun.recipe.patch import apply_patch
from dpdrun.rules.engine import Finding
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.run.files import make_folder, write_text
from dpdrun.run.folder import RunFolder

SCORING = ("train.eval_on", "data")  # what a score is measured by
SURE = 2.0  # standard errors that a gain must exceed; with two or three seeds a rule of thumb, not a test
COMPARISON = "comparison.json"  # in the folder of each repair


@dataclass(frozen=True)
class Repair:
    """A recipe before and after its repair.

    Attributes:
        before: the recipe of the run.
        after: with the patches in its text.
        applied: findings whose patch is in `after`, in this order.
        left: findings of the run that no patch answers.
    """

    before: Loaded
    after: Loaded
    applied: list[Finding]
    left: list[Finding]


def propose(path: Path, *, rejected: Iterable[str] = ()) -> Repair:
    """Return the repaired recipe of a run folder; nothing is written.

    Args:
        path: run folder, finished or not.
        rejected: codes whose patch did not help before.

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
    observed = [finding for finding in diagnose(path).findings if finding.severity != "info"]

    def may_apply(finding: Finding, applied: Iterable[Finding]) -> bool:
        taken = {key for each in applied for key in each.patch}
        if finding.severity == "info" or finding.code in refused or taken & set(finding.patch):
            return False
        return not any(key.startswith(SCORING) for key in finding.patch)

    advised = any(RATE in finding.patch and finding.code not in refused for finding in observed)

    def of_recipe(loaded: Loaded, applied: Sequence[Finding]) -> list[Finding]:
        facts = PlanFacts.of_recipe(loaded.recipe, frames=plan.frames_per_epoch)
        found = (finding for finding in lint(loaded, facts).findings if may_apply(finding, applied))
        return by_urgency(finding for finding in found if not (advised and RATE in finding.patch))

    def of_run(_: Loaded, applied: Sequence[Finding]) -> list[Finding]:
        return [finding for finding in observed if may_apply(finding, [*causes, *applied])]

    after, causes = apply_fixes(before, of_recipe)
    after, symptoms = apply_fixes(after, of_run)
    return Repair(before, after, [*causes, *symptoms], [finding for finding in observed if finding not in symptoms])


@dataclass(frozen=True)
class Comparison:
    """Validation NMSE [dB] by seed, before and after.

    Attributes:
        seeds: of `train.seed`.
        before_db, after_db: one per seed.
    """

    seeds: list[int]
    before_db: list[float]
    after_db: list[float]

    @property
    def gains_db(self) -> list[float]:
        """Gain of the repair with each seed, positive = better [dB]."""
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
        """Return the stable machine-readable form."""
        return {
            "seeds": self.seeds,
            "before_db": self.before_db,
            "after_db": self.after_db,
            "gain_db": self.gain_db,
            "spread_db": self.spread_db,
            "kept": self.kept,
        }


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
        return self.folder / COMPARISON

    @property
    def codes(self) -> list[str]:
        """Of the findings that it answers."""
        return [finding.code for finding in self.repair.applied]

    def outcome_json(self, comparison: Comparison) -> dict[str, Any]:
        """Return the content of `outcome`."""
        return comparison.to_json() | {"codes": self.codes, "recipe": self.recipe.name}

    def write(self) -> None:
        """Write the repaired recipe."""
        make_folder(self.folder)
        write_text(self.recipe, self.repair.after.text)


def next_attempt(path: Path) -> Attempt:
    """Return the repair to try now; one that was started and not decided is resumed.

    After several changes were rejected together, they are tried one by one; what was rejected alone is not tried again.

    Raises:
        RunError: as `propose`, or there is nothing (more) to change.
    """
    run = RunFolder.open(path)
    ours = [each for each in run.repairs.glob("*") if re.fullmatch("[0-9]+", each.name)]
    folders = sorted(ours, key=lambda each: int(each.name))
    decided = [run.read_json(each / COMPARISON) for each in folders if (each / COMPARISON).is_file()]
    refused = [each["codes"] for each in decided if not each["kept"]]
    rejected = tuple(codes[0] for codes in refused if len(codes) == 1)
    repair = propose(path, rejected=rejected)
    if any(len(codes) > 1 for codes in refused) and len(repair.applied) > 1:
        others = [finding.code for finding in repair.applied[1:]]
        repair = propose(path, rejected=[*rejected, *others])
    require_change(repair, path)
    number = 1 + max((int(each.name) for each in folders), default=0)
    if folders and not (folders[-1] / COMPARISON).is_file():
        recipe = folders[-1] / "recipe.yaml"
        if recipe.is_file() and recipe.read_text(encoding="utf-8") == repair.after.text:
            number -= 1
    return Attempt(run.repairs / str(number), repair, rejected)


def require_change(repair: Repair, path: Path) -> None:
    """Raise RunError where there is nothing to change, with the findings that have no patch."""
    if repair.applied:
        return
    if repair.left:
        codes = ", ".join(finding.code for finding in repair.left)
        raise RunError(f"{path}: no recipe change fixes {codes}; see the advice of `dpdrun diagnose {path}`")
    raise RunError(f"{path}: nothing to fix: no warning and no error")
