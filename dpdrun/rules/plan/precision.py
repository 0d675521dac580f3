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
    """The rounding error of `train.precision` is close to the error that the model should reach.

    ## Why
    The output of a network is rounded too. A single rounding to bfloat16 adds noise of about -56 dB (at worst -48 dB
    for a sample), and the many roundings in a network add more; to float16 and TF32 it adds about -74 dB. Models of
    measured amplifiers reach -35 to -45 dB, and a predistorter with a goal of -50 dB cannot be computed this way. This
    is a warning within 15 dB of the noise floor; if the floor is unknown, it is info, and for bfloat16 only.

    ## Known limits
    How roundings accumulate depends on the network; the margin is an estimate. The loss and the optimizer always use
    single precision.
    """
    rounding, floor = ROUNDING_DB.get(precision), noise_floor_db
    if rounding is None or (floor is None and precision != "bf16"):
        return None
    if floor is not None and floor > rounding + MARGIN_DB:
        return None
    known = f"the record allows {floor:.1f} dB" if floor is not None else "amplifier models reach -35 to -45 dB"
    return finding(
        "info" if floor is None else "warning",
        f"each rounding to {precision} adds noise of {rounding:g} dB; {known}",
        value=rounding, threshold=floor, patch={"train.precision": "fp32"},
        also=" if the last decibels matter; compare one run of each",
    )  # fmt: skip
