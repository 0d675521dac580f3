"""WU: the linear rise of the learning rate at the start, always counted in optimizer steps."""

from __future__ import annotations

import math
from typing import Annotated

from dpdrun.recipe.fields import Percent
from dpdrun.rules.advice import recommended_value
from dpdrun.rules.conditions import Within
from dpdrun.rules.declare import NETWORKS, Steps, check, constant, derive, finding, info, known, warning
from dpdrun.rules.engine import Choice, Verdict
from dpdrun.rules.facts.plan import PlanFacts, steps_of_share
from dpdrun.rules.lr_law import outside_sweep
from dpdrun.rules.plan.optimizer import LONGEST_WARMUP as MOST
from dpdrun.rules.plan.optimizer import bridged, measured_beta2, settling_steps, within
from dpdrun.rules.sources import ADAM_SETTLES, NOTE_FURTHER, OPENDPD, PLAYBOOK, SWEEP_WARMUP, WORTH, WORTH_TABLE
from dpdrun.rules.text import pluralize

NOTE_LOW, NOTE_POINT, NOTE_HIGH = Percent("5%"), Percent("7.5%"), Percent("10%")

# A count of steps that is nothing of the run, but a usual share of its epochs, was meant as epochs.
NOTHING = 0.01
SHARE_OF_EPOCHS = (0.02, 0.20)
FAR_BELOW = 0.5  # of 2/(1 - beta2), which is a rule of thumb
SHORTEST_FOR_ADAM = 200  # steps, of which 10 % are the 20 of the least memory that OP101 advises


def _share(total_steps: int | None, why: str, point: Percent) -> Choice:
    evidence: dict[str, object] = {"low": str(NOTE_LOW), "high": str(NOTE_HIGH)}
    if total_steps is not None:
        shares = {"steps": point, "low_steps": NOTE_LOW, "high_steps": NOTE_HIGH}
        evidence |= {name: steps_of_share(share, total_steps) for name, share in shares.items()}
    return Choice(point, why, evidence)


@derive(
    "WU001", sets="optim.warmup", kinds=("transformer",), requires=("WU010",), source=NOTE_FURTHER, evidence="cited",
    fires=dict(kind="transformer", epochs=50, batch=256, frames=10_000), silent=dict(kind="gru"),
)  # fmt: skip
def warmup_share_of_the_note(facts: PlanFacts) -> Choice:
    """Warmup of a Transformer by the founding Transformer note: 5 to 10 % of all optimizer steps.

    ## Why
    Adam's estimate of the gradient's variance is poor in the first steps, so full steps would be too long there. 7.5 %
    is the middle of the note's range. 50 epochs of 10,000 frames in batches of 256 are 1954 steps (the note says about
    2000), so the warmup is 98 to 195 steps (the note: 100 to 200).

    ## Known limits
    The note contradicts itself (docs/note.md): elsewhere it recommends 500 to 2000 steps, and its example command uses
    1000, half of such a run. This rule follows its 5 to 10 %; WU101 reports longer warmups.
    """
    return _share(facts.total_steps, "the note: 5 to 10 % of all steps; the middle", NOTE_POINT)


constant(
    "WU002", "no_warmup_for_a_gru", "optim.warmup", "off", kinds=("gru",), requires=("WU010",), evidence="cited",
    source=f"{OPENDPD} has no warmup; the founding Transformer note recommends one for Transformers only",
    summary="No warmup for a GRU: the code that the founding Transformer note was written for has none.",
    why="the note recommends a warmup for Transformers only",
    page="""
    The note lists a missing warmup as a cause for the Transformer only; its GRU trained well without one. It says
    nothing about a warmup for GRUs, so this value is OpenDPD's, not the note's.
    """,
    limits="We know of no case in which a warmup harms a GRU.",
    silent=dict(kind="transformer"),
)  # fmt: skip


@derive(
    "WU010", sets="optim.warmup", profile="measured", kinds=NETWORKS, where=known("width"), premise=outside_sweep,
    source=f"{WORTH}; the lower end of the founding Transformer note's 5 to 10 %", evidence="measured",
    results=WORTH_TABLE,
    fires=dict(kind="transformer", d_model=16), silent=dict(kind="transformer", d_model=512),
)  # fmt: skip
def warmup_share_measured(facts: PlanFacts, total_steps: int | None = None) -> Choice:
    """Warmup of 5 % of all optimizer steps: gains tenths of a dB in a short run, nothing in a long one.

    ## Why
    Compared with no warmup, at the best learning rate of each job. In our case study (d_model 16, 500 steps at lr 2e-2,
    warmup 7.5 %), removing the warmup changed the NMSE by +0.26 dB on average over three seeds, less than the 0.46 dB
    by which seeds differ. 5 % is the lower end of the range in the founding Transformer note (docs/note.md). If AdamW's
    average of the squared gradient takes longer than that to settle, 2/(1 - beta2) steps (Ma & Yarats 2021), the warmup
    is still 5 %, and the reason says so.

    ## Known limits
    For windowed Transformers of width 8 to 256 and GRUs of 8 to 64 units, which were swept; compared in Transformers of
    width 16 and 64 and GRUs of 16 units; 5 % was not compared with other shares. These networks start as a linear
    model, with residual branches at zero, so a missing warmup harms them less than most networks.
    """
    why = "the lower end of the note's 5 to 10 %"
    if total_steps is not None:
        beta2 = measured_beta2(total_steps) if facts.beta2 is None else facts.beta2  # OP010 fires where this rule does
        settles, steps = settling_steps(beta2), steps_of_share(SWEEP_WARMUP, total_steps)
        if steps < settles:
            why += f"; {pluralize(steps, 'step')}, though beta2 {beta2:g} settles in {settles}"
    return _share(total_steps, why, SWEEP_WARMUP)


@check(
    "WU101", about=("optim.warmup",), fix="unsafe", evidence="cited",
    source=f"{NOTE_FURTHER}; {PLAYBOOK}, 'How should the learning rate warmup be chosen'",
    fires=dict(warmup=1000, epochs=50, batch=256, frames=10_000),
    silent=dict(warmup=150, epochs=50, batch=256, frames=10_000),
)  # fmt: skip
def warmup_over_a_tenth(facts: PlanFacts, warmup_steps: Steps, total_steps: Annotated[int, Within(20)]) -> Verdict:
    """The warmup takes more than 10 % of the run.

    ## Why
    Little is learned in steps at a low learning rate; both the founding Transformer note (docs/note.md) and the tuning
    playbook limit the warmup to 10 %. The note's example command (1000 of about 2000 steps) violates the note's own
    rule. The fix is the value that the rules would set: 5 % (WU010), the middle of the note's range, 7.5 % (WU001), or
    none (WU002).

    ## Known limits
    TL101 reports runs under 20 steps.
    """
    if warmup_steps <= max(1.0, MOST * total_steps):
        return None
    shorter = recommended_value("optim.warmup", facts) or NOTE_POINT
    never = warmup_steps >= total_steps
    return finding(
        "error" if never else "warning",
        f"the warmup is {warmup_steps} of {pluralize(total_steps, 'step')}, {warmup_steps / total_steps:.0%} (limit "
        f"{MOST:.0%})",
        value=warmup_steps / total_steps, threshold=MOST, patch={"optim.warmup": shorter},
        advice=f"set optim.warmup to {_in_steps(shorter, total_steps)}",
        also="; at present the run ends before the peak learning rate is reached" if never else "",
    )  # fmt: skip


@check(
    "WU102", about=("optim.warmup",), source=f"{NOTE_FURTHER}, applied to a short run", evidence="cited", fix="safe",
    fires=dict(warmup=NOTE_POINT, max_steps=6), silent=dict(warmup=NOTE_POINT, max_steps=600),
)  # fmt: skip
def warmup_under_one_step(total_steps: Steps, warmup: int | Percent) -> Verdict:
    """The warmup, as a share of the run, is less than one optimizer step.

    ## Why
    A percentage that rounds to zero steps looks like a warmup but is not one. The plan uses one step, which is the same
    as no warmup; the fix makes this explicit: `off`.

    ## Known limits
    Does not apply to a warmup that is given in steps or switched off.
    """
    if not isinstance(warmup, Percent) or not warmup:
        return None
    exact = warmup * total_steps
    if exact >= 1:
        return None
    return warning(
        f"a warmup of {warmup} is {exact:.2g} of {pluralize(total_steps, 'step')}; one step is used",
        value=exact, threshold=1, patch={"optim.warmup": "off"},
        advice="train longer (train.epochs or train.max_steps), or write optim.warmup: off",
    )  # fmt: skip


@check(
    "WU103", about=("optim.warmup",), requires=("WU101",), fix="unsafe", evidence="assumed",
    source="the fault of the code that the founding Transformer note came with: a warmup in the wrong unit "
    "(docs/note.md)",
    fires=dict(warmup=5, epochs=50, batch=8, frames=308), silent=dict(warmup=100, epochs=50, batch=8, frames=308),
)  # fmt: skip
def warmup_counted_in_epochs(
    facts: PlanFacts,
    epochs: Annotated[float, Within(1)],
    total_steps: Annotated[int, Within(20)],
    warmup: int | Percent,
) -> Verdict:
    """The warmup looks like a number of epochs; it is counted in optimizer steps.

    ## Why
    Many training programs count the warmup in epochs. Read as steps, 5 of 50 epochs become 5 of 1925 steps, which is no
    warmup. The opposite mistake, a scheduler stepped once per epoch, froze the learning rate of the note's code at
    1/1000. A warmup is reported if it is less than 1 % of the steps and 2 to 20 % of the epochs. The fix is the
    percentage that the rules would set (WU010, WU001) or, if they set none, the intended share, at most 10 %.

    ## Known limits
    The intention is inferred: a short warmup in steps may be what you want (removing it made little difference to our
    recipe, WU010). Does not apply if the length of the run is given in steps, or to a percentage.
    """
    if isinstance(warmup, Percent) or not warmup:
        return None
    share = warmup / epochs
    if warmup >= NOTHING * total_steps or not SHARE_OF_EPOCHS[0] <= share <= SHARE_OF_EPOCHS[1]:
        return None
    ours = recommended_value("optim.warmup", facts)
    meant = ours if isinstance(ours, Percent) else Percent(round(min(share, MOST), 3))
    return warning(
        f"a warmup of {pluralize(warmup, 'step')} is {warmup / total_steps:.2g} of the run "
        f"({pluralize(total_steps, 'step')}); {warmup} of {epochs:g} epochs would be {share:.0%}",
        value=warmup / total_steps, threshold=NOTHING, share_of_epochs=share, patch={"optim.warmup": meant},
        advice=f"whole numbers count optimizer steps; if epochs were intended, set optim.warmup to "
        f"{_in_steps(meant, total_steps)}",
    )  # fmt: skip


@check(
    "WU104", about=("optim.warmup", "optim.beta2"), profile="measured", requires=("OP101", "WU101", "WU103"),
    fix="unsafe", source=ADAM_SETTLES, evidence="cited",
    fires=dict(warmup=50, max_steps=5000, beta2=0.99), silent=dict(warmup=200, max_steps=5000, beta2=0.99),
)  # fmt: skip
def warmup_shorter_than_adams_memory(
    facts: PlanFacts,
    warmup_steps: Steps,
    total_steps: Annotated[int, Within(SHORTEST_FOR_ADAM)],
    beta2: Annotated[float, Within(0, 1)],
) -> Verdict:
    """The warmup ends before half of the 2/(1 - beta2) steps in which Adam's estimate of the variance settles.

    ## Why
    Until then a step can be several times too long (Ma & Yarats 2021), which a warmup is meant to prevent. The warmup
    should be at least that long, and at most 10 % of the run (WU101). If both are possible, the fix is a longer warmup;
    if not, it is the beta2 that the rules would set (OP010, OP011).

    ## Known limits
    Info only: a warmup gains little (WU010). Does not apply if the warmup is off, in runs under 200 steps, if the rules
    would set no lower beta2 (OP010 was measured this way), or with `rules: note`, whose own values would be reported.
    """
    settles = settling_steps(beta2)
    if warmup_steps >= FAR_BELOW * settles:
        return None
    short = f"the warmup has {pluralize(warmup_steps, 'step')}, but AdamW with beta2 {beta2:g} settles after {settles}"
    if settles <= MOST * total_steps:
        by_share = isinstance(facts.warmup, Percent)
        longer = Percent(min(MOST, math.ceil(1000 * settles / total_steps) / 1000)) if by_share else settles
        return info(
            short, value=warmup_steps, threshold=FAR_BELOW * settles, patch={"optim.warmup": longer},
            also=f"; {settles} steps are within 10 % of the run",
        )  # fmt: skip
    shorter = recommended_value("optim.beta2", facts) or within(bridged(warmup_steps, total_steps)[0])
    if shorter >= beta2:
        return None
    return info(
        f"{short}, more than 10 % of the run ({pluralize(total_steps, 'step')})",
        value=warmup_steps, threshold=FAR_BELOW * settles, patch={"optim.beta2": shorter},
        also=f", which settles after {settling_steps(shorter)} steps: a longer warmup would exceed 10 % of the run",
    )  # fmt: skip


def _in_steps(warmup: Percent | str, total: int) -> str:
    """Return a warmup as a rule sets it, with its steps: `5% (98 steps)`, or `off`."""
    if not isinstance(warmup, Percent):
        return warmup
    return f"{warmup} ({pluralize(steps_of_share(warmup, total), 'step')})"
