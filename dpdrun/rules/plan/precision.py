"""PR: what the arithmetic allows."""

from __future__ import annotations

from dpdrun.rules.engine import Finding, Verdict, rule
from dpdrun.rules.facts.plan import PlanFacts

# Rounding a Gaussian signal once, as power relative to the signal [dB]: to 8 significant bits, and to 11
ROUNDING_DB = {"bf16": -55.6, "fp16": -73.7, "tf32": -73.7}
BF16_WORST_DB = -48.2  # half a unit in the last place, 2^-8 [dB]
MARGIN_DB = 15.0  # a dozen such roundings lie 11 dB above one; below a tenth of the error they cost 0.4 dB


@rule(
    "PR101",
    purpose="check",
    source="bfloat16 has 8 significant bits, float16 and TF32 have 11: a rounding errs by up to 2^-8, 2^-11",
    evidence="assumed",
    fix="unsafe",
    about=("train.precision",),
    box={"kind": ("transformer", "gru")},
    needs=("precision",),
    fires=lambda: PlanFacts(kind="transformer", precision="bf16", noise_floor_db=-50.0),
    silent=lambda: PlanFacts(kind="transformer", precision="bf16", noise_floor_db=-35.0),
)
def rounding_near_the_target(facts: PlanFacts) -> Verdict:
    """The arithmetic of `train.precision` rounds by an amount that is near the error that is to be reached.

    ## What it does
    Compares the noise floor of the record with what rounding a signal to bfloat16 adds, about -56 dB for a single
    rounding (at worst -48 dB for a sample) and more for the many of a network; to float16 and TF32 about -74 dB. Warns
    within 15 dB; where the floor is not known, it says so of bfloat16 as information.

    ## Why
    The output of a network is rounded too. Models of measured amplifiers reach -35 to -45 dB, and a predistorter that
    is to reach -50 dB cannot be computed so.

    ## Known limits
    How the roundings of a network add up depends on it; the margin is a guess. The loss and the linear algebra of the
    optimizer are in single precision in any case.

    ## Example
    Fires for a floor of -50 dB. Silent for one of -35 dB.
    """
    rounding = ROUNDING_DB.get(facts.precision or "")
    floor = facts.noise_floor_db
    if rounding is None or (floor is None and facts.precision != "bf16"):
        return None
    if floor is not None and floor > rounding + MARGIN_DB:
        return None
    noise = f"rounding to {facts.precision} is noise of {rounding:g} dB each time"
    known = f"the record allows {floor:.1f} dB" if floor is not None else "amplifier models reach -35 to -45 dB"
    return Finding(
        f"{noise}; {known}",
        {"train.precision": "fp32"},
        "info" if floor is None else "warning",
        evidence={"value": rounding, "threshold": floor},
        advice="set train.precision to fp32 where the last decibels count; compare one run of each",
    )
