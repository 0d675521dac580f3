"""AD: what `train.on_finding: adapt` did to a run."""

from __future__ import annotations

from dpdrun.rules.engine import Finding, Verdict, rule
from dpdrun.rules.examples import example_run
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.text import pluralize


@rule(
    "AD201",
    purpose="diagnose",
    source="the log itself: each adaptation is a line in metrics.jsonl",
    evidence="cited",
    fix="unsafe",
    needs=("step",),
    fires=lambda: example_run(adapted=[(120, 100)], lr_factor=0.5, peak_lr=5e-3),
    silent=lambda: example_run(adapted=[]),
)
def lr_was_lowered_on_the_way(run: RunFacts) -> Verdict:
    """The run went back before an error and lowered its learning rate; its recipe still has the higher one.

    ## What it does
    Tells how often `train.on_finding: adapt` went back, from where to where, and what rate the run ended with.

    ## Why
    What was undone cost time and would be undone again. A recipe that begins with the rate that worked gets there at
    once, and its run can be repeated by programs that do not adapt.

    ## Known limits
    The rate that the run ended with held from some step on, not from its first; a whole run at that rate has a lower
    peak than this one had. Info only: nothing is wrong with the run.

    ## Example
    Fires for a run that went back once, from step 120 to step 100. Silent for one that never did.
    """
    if not run.adapted:
        return None
    ways = ", ".join(f"from step {since} to step {back}" for since, back in run.adapted)
    lr = float(f"{run.top_lr:.2g}")
    return Finding(
        f"went back {pluralize(len(run.adapted), 'time')} ({ways}); the lr ended at {run.lr_factor:.2g} times "
        "the planned one",
        {"optim.lr": lr},
        step=run.adapted[0][1],
        evidence={"value": len(run.adapted), "threshold": 0, "n": len(run.step), "lr_factor": run.lr_factor},
        advice=f"begin with what worked: optim.lr {lr:g}",
    )
