"""`dpdrun diagnose RUN --fix [--rerun]`: the advice as a recipe, and the proof that it helps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dpdrun.errors import RunError

if TYPE_CHECKING:
    from rich.console import Console

    from dpdrun.diagnosis.repair import Attempt


def repair(path: Path | None, seeds: int | None) -> None:
    """Write the repaired recipe of a run; with seeds, train it and the old one and say which is better.

    Args:
        path: run folder.
        seeds: how many seeds to compare with, None = do not train.

    Raises:
        RunError: there is no run folder, or nothing to change.
    """
    from rich.console import Console

    from dpdrun.diagnosis.repair import next_attempt
    from dpdrun.run.files import write_text

    if path is None or not path.is_dir():
        raise RunError(f"--fix needs a run folder, for its recipe; {path or 'no RUN'} is none")
    attempt = next_attempt(path)
    attempt.folder.mkdir(parents=True, exist_ok=True)
    write_text(attempt.recipe, attempt.repair.after.text)
    console = Console(highlight=False)
    _show(attempt, console)
    if seeds is None:
        console.print(f"\ntrain it with:  dpdrun train {attempt.recipe}", markup=False, soft_wrap=True)
        console.print(f"or prove it:    dpdrun diagnose {path} --fix --rerun", markup=False, soft_wrap=True)
    else:
        _prove(attempt, path, seeds, console)


def _show(attempt: Attempt, console: Console) -> None:
    from dpdrun.recipe.patch import diff
    from dpdrun.report.advice import finding_line

    this = attempt.repair
    console.print(f"\nrepair {attempt.folder.name}: {len(this.applied)} changes", style="bold")
    for finding in this.applied:
        console.print(finding_line(finding))
    for finding in this.left:
        console.print(f"no change of the recipe answers {finding.code} {finding.slug}", style="dim", markup=False)
    if attempt.rejected:
        console.print(f"rejected before: {', '.join(attempt.rejected)}", style="dim", markup=False)
    console.print(diff(this.before.text, this.after.text, attempt.recipe.name), markup=False)


def _prove(attempt: Attempt, path: Path, count: int, console: Console) -> None:
    from dpdrun.commands._training import live_view
    from dpdrun.report.repair import comparison_view
    from dpdrun.run.folder import RunFolder
    from dpdrun.training.job import Watch
    from dpdrun.training.rerun import compare

    def watch(title: str) -> Watch:
        console.print(title, style="bold")
        return lambda job: live_view(job, console)

    this, run = attempt.repair, RunFolder.open(path)
    first = this.before.recipe.train.seed
    outcome = compare(this.before, this.after, attempt.folder, range(first, first + count), finished=run, watch=watch)
    codes = [finding.code for finding in this.applied]
    run.write_json(attempt.outcome, outcome.to_json() | {"codes": codes, "recipe": str(attempt.recipe.name)})
    console.print(comparison_view(outcome, codes))
    if outcome.kept:
        best = attempt.folder / f"after-seed{outcome.seeds[0]}"
        console.print(f"go on from there:  dpdrun diagnose {best}", markup=False, soft_wrap=True)
