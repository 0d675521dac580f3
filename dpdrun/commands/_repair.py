"""`dpdrun diagnose RUN --fix [--rerun]`: the advice as a recipe, and whether it trains better."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dpdrun.errors import RunError

if TYPE_CHECKING:
    from rich.console import Console

    from dpdrun.diagnosis.repair import Attempt


def repair(path: Path | None, seeds: int | None) -> None:
    """Write the repaired recipe of a run; with `seeds`, train it and the old one from so many seeds and compare them.

    Raises:
        RunError: there is no run folder, or nothing to change.
    """
    from rich.console import Console

    from dpdrun.diagnosis.repair import next_attempt
    from dpdrun.report.repair import attempt_view

    if path is None or not path.is_dir():
        raise RunError(f"--fix needs a run folder with its recipe; {path or 'no RUN'} is not one")
    attempt = next_attempt(path)
    attempt.write()
    console = Console(highlight=False)
    console.print(attempt_view(attempt))
    if seeds is None:
        console.print(f"\ntrain it:    dpdrun train {attempt.recipe}", markup=False, soft_wrap=True)
        console.print(f"compare it:  dpdrun diagnose {path} --fix --rerun", markup=False, soft_wrap=True)
    else:
        _compare(attempt, path, seeds, console)


def _compare(attempt: Attempt, path: Path, count: int, console: Console) -> None:
    from dpdrun.commands._training import live_view
    from dpdrun.report.repair import comparison_view
    from dpdrun.run.folder import RunFolder
    from dpdrun.training.job import Watch
    from dpdrun.training.rerun import compare

    def watch(title: str) -> Watch:
        console.print(title, style="bold")
        return lambda job: live_view(job, console)

    run, before, after = RunFolder.open(path), attempt.repair.before, attempt.repair.after
    seeds = range(before.recipe.train.seed, before.recipe.train.seed + count)
    comparison = compare(before, after, attempt.folder, seeds, finished=run, watch=watch)
    run.write_json(attempt.outcome, attempt.outcome_json(comparison))
    console.print(comparison_view(comparison, attempt.codes))
    if comparison.kept:
        best = attempt.folder / f"after-seed{comparison.seeds[0]}"
        console.print(f"to continue from there:  dpdrun diagnose {best}", markup=False, soft_wrap=True)
