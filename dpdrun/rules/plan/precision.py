"""PR: what the arithmetic allows."""

from __future__ import annotations

from dpdrun.rules.declare import NETWORKS, check, finding
from dpdrun.rules.engine import Verdict

# Rounding a Gaussian signal once, as power relative to the signal [dB]: to 8 significant bits, and to 11
ROUNDING_DB = {"bf16": -55.6, "fp16": -73.7, "tf32": -73.7}
BF16_WORST_DB = -48.2  # half a unit in the last place, 2^-8 [dB]
MARGIN_DB = 15.0  # a dozen such roundings lie 11 dB above one; below a tenth of the error they cost 0.4 dB


@check(
    "PR101", about=("train.precision",), kinds=NETWORKS, fix="unsafe", evidence="assumed",
    source="bfloat16 has 8 significant bits, float16 and TF32 have 11: a rounding errs by up to 2^-8, 2^-11",
    fires=dict(kind="transformer", precision="bf16", noise_floor_db=-50.0),
    silent=dict(kind="transformer", precision="bf16", noise_floor_db=-35.0),
)  # fmt: skip
def rounding_near_the_target(precision: str, noise_floor_db: float | None = None) -> Verdict:
    """The arithmetic of `train.precision` rounds by an amount that is near the error that is to be reached.

    ## Why
    The output of a network is rounded too: to bfloat16 a single rounding adds about -56 dB (at worst -48 dB for a
    sample) and the many of a network add more, to float16 and TF32 about -74 dB. Models of measured amplifiers reach
    -35 to -45 dB, and a predistorter that is to reach -50 dB cannot be computed so. A warning within 15 dB of the noise
    floor; where the floor is not known, info about bfloat16 alone.

    ## Known limits
    How the roundings of a network add up depends on it; the margin is a guess. The loss and the linear algebra of the
    optimizer are in single precision in any case.
    """
    rounding, floor = ROUNDING_DB.get(precision), noise_floor_db
    if rounding is None or (floor is None and precision != "bf16"):
        return None
    if floor is not None and floor > rounding + MARGIN_DB:
        return None
    known = f"the record allows {floor:.1f} dB" if floor is not None else "amplifier models reach -35 to -45 dB"
    return finding(
        "info" if floor is None else "warning",
        f"rounding to {precision} is noise of {rounding:g} dB each time; {known}",
        value=rounding, threshold=floor, patch={"train.precision": "fp32"},
        also=" where the last decibels count; compare one run of each",
    )  # fmt: skip
