"""WU: the linear rise of the learning rate at the start, always counted in optimizer steps."""

from __future__ import annotations

import math

from dpdrun.recipe.fields import Percent
from dpdrun.rules.advice import recommended_value
from dpdrun.rules.engine import Finding, Skipped, Verdict, rule
from dpdrun.rules.facts.plan import PlanFacts, steps_of_share
from dpdrun.rules.lr_law import outside_sweep
from dpdrun.rules.plan.optimizer import LONGEST_WARMUP as MOST
from dpdrun.rules.plan.optimizer import bridged, measured_beta2, settling_steps, within
from dpdrun.rules.sources import (
    ADAM_SETTLES,
    NOTE_FURTHER,
    OPENDPD,
    PLAYBOOK,
    SWEEP_WARMUP,
    WORTH,
    WORTH_TABLE,
)
from dpdrun.rules.text import pluralize

NOTE_LOW, NOTE_POINT, NOTE_HIGH = Percent("5%"), Percent("7.5%"), Percent("10%")

# A count of steps that is nothing of the run, but a usual share of its epochs, was meant as epochs.
NOTHING = 0.01
SHARE_OF_EPOCHS = (0.02, 0.20)
FAR_BELOW = 0.5  # of 2/(1 - beta2), which is a rule of thumb
SHORTEST_FOR_ADAM = 200  # steps, of which 10 % are the 20 of the least memory that OP101 advises

INF = math.inf


def _share(facts: PlanFacts, why: str, point: Percent) -> Finding:
    evidence: dict[str, object] = {"low": str(NOTE_LOW), "high": str(NOTE_HIGH)}
    if facts.total_steps is not None:
        evidence |= {
            "steps": steps_of_share(point, facts.total_steps),
            "low_steps": steps_of_share(NOTE_LOW, facts.total_steps),
            "high_steps": steps_of_share(NOTE_HIGH, facts.total_steps),
        }
    return Finding(why, {"optim.warmup": point}, evidence=evidence)


@rule(
    "WU001",
    sets="optim.warmup",
    source=NOTE_FURTHER,
    evidence="cited",
    box={"kind": ("transformer",)},
    requires=("WU010",),
    fires=lambda: PlanFacts(kind="transformer", epochs=50, batch=256, frames=10_000),
    silent=lambda: PlanFacts(kind="gru"),
)
def warmup_share_of_the_note(facts: PlanFacts) -> Verdict:
    """Warmup of a Transformer by the note: 5 to 10 % of all optimizer steps.

    ## What it does
    Takes 7.5 %, the middle of the note's range, at least one step, and shows the range. 50 epochs of 10,000 frames in
    batches of 256 are 1954 steps (the note says about 2000), so the warmup is 98 to 195 steps (the note: 100 to 200).

    ## Why
    Adam's estimate of the gradient's variance is poor in the first steps, so a full step size is too long there.

    ## Known limits
    The note contradicts itself (docs/note.md): elsewhere it asks for 500 to 2000 steps, and its example command for
    1000, half of such a run. This rule follows its 5 to 10 %; WU101 flags the rest.

    ## Example
    Fires for a Transformer. Silent for a GRU, for which the note prescribes none.
    """
    return _share(facts, "the note: 5 to 10 % of all steps; the middle", NOTE_POINT)


@rule(
    "WU002",
    sets="optim.warmup",
    source=f"{OPENDPD} has no warmup; the founding note asks for one for Transformers only",
    evidence="cited",
    box={"kind": ("gru",)},
    requires=("WU010",),
    fires=lambda: PlanFacts(kind="gru"),
    silent=lambda: PlanFacts(kind="transformer"),
)
def no_warmup_for_a_gru(facts: PlanFacts) -> Verdict:  # noqa: ARG001 - its box is the whole condition
    """No warmup for a GRU: the code that the note was written for has none.

    ## What it does
    Sets `off`.

    ## Why
    The note names a missing warmup as a cause for the Transformer only; its GRU trained well without one. It says
    nothing about a warmup of a GRU, so this value is OpenDPD's, not the note's.

    ## Known limits
    A warmup does a GRU no harm that we know of.

    ## Example
    Fires for a GRU. Silent for a Transformer.
    """
    return Finding("the note asks for a warmup for Transformers only", {"optim.warmup": "off"})


@rule(
    "WU010",
    "measured",
    sets="optim.warmup",
    source=f"{WORTH}; the lower end of the note's 5 to 10 %",
    evidence="measured",
    results=WORTH_TABLE,
    box={"kind": ("transformer", "gru")},
    needs=("width",),
    uses=("total_steps",),
    fires=lambda: PlanFacts(kind="transformer", d_model=16),
    silent=lambda: PlanFacts(kind="transformer", d_model=512),
)
def warmup_share_measured(facts: PlanFacts) -> Verdict:
    """Warmup of 5 % of all optimizer steps: some tenths of a dB in a short run, nothing in a long one.

    ## What it does
    Takes 5 %, the lower end of the note's range, at least one step. Where AdamW's average of the squared gradient takes
    longer to settle, 2/(1 - beta2) steps (Ma & Yarats 2021), the line says so: the share decides, as the note has it.

    ## Why
    Compared with none at all, at the best learning rate of each job. In our case study (d_model 16, 500 steps at lr
    2e-2, warmup 7.5 %) none made +0.26 dB in the mean of three seeds, less than the 0.46 dB that seeds differ by.

    ## Known limits
    For windowed Transformers of width 8 to 256 and GRUs of 8 to 64 units, which were swept; compared in Transformers
    of width 16 and 64 and GRUs of 16 units; 5 % was not compared with other shares. These networks start as their
    linear skip, with silent residuals, which is kinder to a missing warmup than most.

    ## Example
    Fires for d_model 16. Silent for d_model 512: the note's rules answer.
    """
    if reason := outside_sweep(facts):
        return Skipped(reason)
    why = "the lower end of the note's 5 to 10 %"
    total = facts.total_steps
    if total is not None:
        beta2 = measured_beta2(total) if facts.beta2 is None else facts.beta2  # OP010 fires where this rule does
        settles, steps = settling_steps(beta2), steps_of_share(SWEEP_WARMUP, total)
        if steps < settles:
            why += f"; {pluralize(steps, 'step')}, though beta2 {beta2:g} settles in {settles}: the share decides"
    return _share(facts, why, SWEEP_WARMUP)


@rule(
    "WU101",
    purpose="check",
    source=f"{NOTE_FURTHER}; {PLAYBOOK}, 'How should the learning rate warmup be chosen'",
    evidence="cited",
    fix="unsafe",
    about=("optim.warmup",),
    box={"warmup_steps": (1, INF), "total_steps": (20, INF)},
    fires=lambda: PlanFacts(warmup=1000, epochs=50, batch=256, frames=10_000),
    silent=lambda: PlanFacts(warmup=150, epochs=50, batch=256, frames=10_000),
)
def warmup_over_a_tenth(facts: PlanFacts) -> Verdict:
    """The warmup takes more than 10 % of the run.

    ## What it does
    Warns, and advises what the rules would set: 5 % (WU010), or the middle of the note's range, 7.5 % (WU001); for a
    GRU by the note none (WU002).

    ## Why
    Steps at a low learning rate are training that is not done; both the note and the tuning playbook stop at 10 %. The
    note's example command (1000 steps of about 2000) breaks the note's own rule.

    ## Known limits
    Runs under 20 steps are TL101's.

    ## Example
    Fires for 1000 of 1954 steps. Silent for 150.
    """
    warmup, total = facts.warmup_steps or 0, facts.total_steps or 0
    if warmup <= max(1.0, MOST * total):
        return None
    shorter = recommended_value("optim.warmup", facts) or NOTE_POINT
    return Finding(
        f"the warmup is {warmup} of {pluralize(total, 'step')}, {warmup / total:.0%} (limit {MOST:.0%})",
        {"optim.warmup": shorter},
        "error" if warmup >= total else "warning",
        evidence={"value": warmup / total, "threshold": MOST},
        advice=f"set optim.warmup to {_in_steps(shorter, total)}"
        + ("; as it is, the run ends before the peak learning rate is passed" if warmup >= total else ""),
    )


@rule(
    "WU102",
    purpose="check",
    source=f"{NOTE_FURTHER}, applied to a short run",
    evidence="cited",
    fix="safe",
    about=("optim.warmup",),
    box={"total_steps": (1, INF)},
    needs=("warmup",),
    fires=lambda: PlanFacts(warmup=NOTE_POINT, max_steps=6),
    silent=lambda: PlanFacts(warmup=NOTE_POINT, max_steps=600),
)
def warmup_under_one_step(facts: PlanFacts) -> Verdict:
    """The warmup, as a share of the run, is less than one optimizer step.

    ## What it does
    Warns; the plan uses one step, which is the same as no warmup. The fix is to say so: `off`.

    ## Why
    A share that rounds to nothing is easily taken for a warmup that is there.

    ## Known limits
    Says nothing about a warmup given in steps, or switched off.

    ## Example
    Fires for 7.5 % of 6 steps. Silent for 7.5 % of 600.
    """
    if not isinstance(facts.warmup, Percent) or not facts.warmup:
        return None
    exact = facts.warmup * (facts.total_steps or 0)
    if exact >= 1:
        return None
    return Finding(
        f"a warmup of {facts.warmup} is {exact:.2g} of {pluralize(facts.total_steps or 0, 'step')}; one step is used",
        {"optim.warmup": "off"},
        "warning",
        evidence={"value": exact, "threshold": 1},
        advice="train longer (train.epochs or train.max_steps), or write optim.warmup: off",
    )


@rule(
    "WU103",
    purpose="check",
    source="the fault of the code that the founding note came with: a warmup in the wrong unit (docs/note.md)",
    evidence="assumed",
    fix="unsafe",
    about=("optim.warmup",),
    box={"epochs": (1, INF), "total_steps": (20, INF)},
    needs=("warmup",),
    requires=("WU101",),
    fires=lambda: PlanFacts(warmup=5, epochs=50, batch=8, frames=308),
    silent=lambda: PlanFacts(warmup=100, epochs=50, batch=8, frames=308),
)
def warmup_counted_in_epochs(facts: PlanFacts) -> Verdict:
    """The warmup looks like a number of epochs; it is counted in optimizer steps.

    ## What it does
    Looks at a warmup given as a count: less than 1 % of the steps, but 2 to 20 % when read as epochs. Advises the
    percentage that the rules would set (WU010, WU001), which is the same in any unit; where they set none, the share
    that was meant, at most 10 %.

    ## Why
    Many recipes count warmup in epochs. Read as steps, 5 of 50 epochs become 5 of 1925 steps, which is no warmup. The
    opposite slip, a scheduler stepped once an epoch, froze the learning rate of the founding note's code at 1/1000.

    ## Known limits
    A guess at what was meant: a short warmup in steps can be what you want (none at all made little difference to our
    recipe, WU010). Silent when the run is given in steps, and for a share.

    ## Example
    Fires for a warmup of 5 with 50 epochs of 39 steps. Silent for 100.
    """
    if isinstance(facts.warmup, Percent) or not facts.warmup:
        return None
    total, epochs, warmup = facts.total_steps or 1, facts.epochs or 1.0, facts.warmup
    share = warmup / epochs
    if warmup >= NOTHING * total or not SHARE_OF_EPOCHS[0] <= share <= SHARE_OF_EPOCHS[1]:
        return None
    ours = recommended_value("optim.warmup", facts)
    meant = ours if isinstance(ours, Percent) else Percent(round(min(share, MOST), 3))
    return Finding(
        f"a warmup of {pluralize(warmup, 'step')} is {warmup / total:.2g} of the run ({pluralize(total, 'step')}); "
        f"{warmup} of {epochs:g} epochs would be {share:.0%}",
        {"optim.warmup": meant},
        "warning",
        evidence={"value": warmup / total, "threshold": NOTHING, "share_of_epochs": share},
        advice=f"a whole number is optimizer steps; if epochs were meant, set optim.warmup to "
        f"{_in_steps(meant, total)}",
    )


@rule(
    "WU104",
    "measured",
    purpose="check",
    source=ADAM_SETTLES,
    evidence="cited",
    fix="unsafe",
    about=("optim.warmup", "optim.beta2"),
    box={"warmup_steps": (1, INF), "total_steps": (SHORTEST_FOR_ADAM, INF), "beta2": (0, 1)},
    requires=("OP101", "WU101", "WU103"),
    fires=lambda: PlanFacts(warmup=50, max_steps=5000, beta2=0.99),
    silent=lambda: PlanFacts(warmup=200, max_steps=5000, beta2=0.99),
)
def warmup_shorter_than_adams_memory(facts: PlanFacts) -> Verdict:
    """The warmup ends long before Adam's estimate of the gradient's variance has settled.

    ## What it does
    Speaks up when the warmup is less than half of 2/(1 - beta2) steps, and advises all of them. Two rules pull here: at
    least that long, and at most 10 % of the run (WU101). Where both can be met, the warmup gets longer; where they
    cannot, beta2 gives way, to what the rules would set (OP010, OP011).

    ## Why
    Until then a step can be several times too long (Ma & Yarats 2021); bridging that time is what a warmup is for.

    ## Known limits
    Info only: a warmup is worth little (WU010). Silent where warmup is off, in runs
    under 200 steps, where the rules would set no lower beta2 (OP010 was measured so), and with `rules: note`, whose own
    values would be reported.

    ## Example
    Fires for 50 steps with beta2 0.99. Silent for 200 steps.
    """
    warmup, total, beta2 = facts.warmup_steps or 0, facts.total_steps or 1, facts.beta2 or 0.0
    wanted = settling_steps(beta2)
    if warmup >= FAR_BELOW * wanted:
        return None
    if wanted <= MOST * total:
        by_share = isinstance(facts.warmup, Percent)
        longer = Percent(min(MOST, math.ceil(1000 * wanted / total) / 1000)) if by_share else wanted
        return Finding(
            f"the warmup has {pluralize(warmup, 'step')}; AdamW with beta2 {beta2:g} settles after {wanted}",
            {"optim.warmup": longer},
            evidence={"value": warmup, "threshold": FAR_BELOW * wanted},
            advice=f"set optim.warmup to {longer}; {wanted} steps are within 10 % of the run",
        )
    shorter = recommended_value("optim.beta2", facts) or within(bridged(warmup, total)[0])
    if shorter >= beta2:
        return None
    return Finding(
        f"the warmup has {pluralize(warmup, 'step')}; AdamW with beta2 {beta2:g} settles after {wanted}, more than "
        f"10 % of the run ({pluralize(total, 'step')})",
        {"optim.beta2": shorter},
        evidence={"value": warmup, "threshold": FAR_BELOW * wanted},
        advice=f"set optim.beta2 to {shorter:g}, which settles after {settling_steps(shorter)} steps: a longer warmup "
        "would take more than its 10 %",
    )


def _in_steps(warmup: Percent | str, total: int) -> str:
    """A warmup as a rule sets it, with its steps: `5% (98 steps)`, or `off`."""
    if not isinstance(warmup, Percent):
        return warmup
    return f"{warmup} ({pluralize(steps_of_share(warmup, total), 'step')})"
