"""AD: what `train.on_finding: adapt` did to a run."""

from __future__ import annotations

from dpdrun.rules.declare import diagnose, info, known
from dpdrun.rules.engine import Verdict
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.text import pluralize


@diagnose(
    "AD201", source="the log itself: each adaptation is a line in metrics.jsonl", evidence="cited", fix="unsafe",
    where=known("step"),
    fires=dict(adapted=[(120, 100)], lr_factor=0.5, peak_lr=5e-3), silent=dict(adapted=[]),
)  # fmt: skip
def lr_was_lowered_on_the_way(run: RunFacts) -> Verdict:
    """The run was rolled back after an error and continued at a lower learning rate than that of its recipe.

    ## Why
    The steps that were undone cost time and would have to be undone again. A recipe that starts with the rate that
    worked avoids this, and the run can be repeated without adaptation.

    ## Known limits
    The final rate was used only from some step on; a complete run at that rate has a lower peak than this run. Info
    only: nothing is wrong with the run.
    """
    if not run.adapted:
        return None
    ways = ", ".join(f"from step {since} to step {back}" for since, back in run.adapted)
    lr = float(f"{run.top_lr:.2g}")
    return info(
        f"rolled back {pluralize(len(run.adapted), 'time')} ({ways}); the lr ended at {run.lr_factor:.2g} times "
        "the planned one",
        value=len(run.adapted), threshold=0, n=len(run.step), lr_factor=run.lr_factor, step=run.adapted[0][1],
        patch={"optim.lr": lr}, advice=f"start with the rate that worked: optim.lr {lr:g}",
    )  # fmt: skip
