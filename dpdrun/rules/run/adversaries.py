"""LS: the two losses of a GAN, whose levels say little, but whose balance says whether the generator can learn."""

from __future__ import annotations

import math
from statistics import median

from dpdrun.rules.declare import diagnose, warning
from dpdrun.rules.engine import Skipped, Verdict

LEAST_LINES = 8
WON = 0.03  # a loss at which a side is right with 97 %; at least 0.09 in 7 healthy public logs
HELD = 0.8  # of the loss of the other side in the second quarter: it does not catch up
CHANCE = (math.log(2.0), 2.0 * math.log(2.0))  # the mean, or the sum, over real and generated samples
AT_CHANCE = 0.003  # of it, in every line
STEPS = list(range(10, 110, 10))


@diagnose(
    "LS212", evidence="cited",
    source="Arjovsky & Bottou 2017, 'Towards principled methods for training GANs': a perfect discriminator leaves the "
    "generator without a gradient; limits from public logs",
    fires=dict(
        adversaries={
            "discriminator": (STEPS, [0.7, 0.2, 0.02, 0.01, 0.005, 0.004, 0.002, 0.001, 0.001, 0.001]),
            "generator": (STEPS, [1.0, 3.0, 5.0, 6.0, 6.0, 7.0, 7.0, 8.0, 8.0, 9.0]),
        }
    ),
    silent=dict(
        adversaries={
            "discriminator": (STEPS, [0.7, 0.6, 0.5, 0.6, 0.5, 0.6, 0.5, 0.5, 0.6, 0.5]),
            "generator": (STEPS, [1.0, 1.2, 1.1, 1.3, 1.2, 1.1, 1.3, 1.2, 1.1, 1.2]),
        }
    ),
)  # fmt: skip
def one_side_of_a_gan_has_won(adversaries: dict[str, tuple[list[int], list[float]]]) -> Verdict:
    """The discriminator or the generator of a GAN has won, or the discriminator never learned: the other cannot learn.

    ## Why
    The generator learns from what the discriminator is unsure about. Reported if the median of the loss of one side
    over the later half of the lines (eight or more) is 0.03 or less, while that of the other side in the last quarter
    is at 80 % or more of that in the second. Also if the loss of the discriminator is ln 2, or twice that, in every
    line to within 0.3 %: it does not tell generated samples from real ones, from the first line on.

    ## Known limits
    Losses without such a scale (hinge, Wasserstein, least squares) reach 0 in other ways, so look at the samples. At
    the end of a perfect training a discriminator is at ln 2 as well, but not from the first line on.
    """
    losses = {side: [value for value in values if math.isfinite(value)] for side, (_, values) in adversaries.items()}
    if len(losses) < 2 or min(map(len, losses.values())) < LEAST_LINES:
        return Skipped(f"needs {LEAST_LINES} losses of a discriminator and of a generator")
    for side, values in losses.items():
        other, theirs = next((name, each) for name, each in losses.items() if name != side)
        late, quarter = values[len(values) // 2 :], len(theirs) // 4
        before, end = median(theirs[quarter : 2 * quarter]), median(theirs[-quarter:])
        if min(late) >= 0.0 and median(late) <= WON and end >= max(HELD * before, WON):
            return warning(
                f"the loss of the {side} is {median(late):.2g} in the later half of {len(values)} lines, and that of "
                f"the {other} {before:.3g} before and {end:.3g} at the end: the {side} has won",
                value=median(late), threshold=WON, n=len(values), step=adversaries[side][0][len(values) // 2],
                advice=f"lower the learning rate of the {side} or train it more seldom; label smoothing, noise on its "
                "inputs or a gradient penalty keep it unsure",
            )  # fmt: skip
    judged = losses["discriminator"]
    for chance in CHANCE:
        if all(abs(value - chance) <= AT_CHANCE * chance for value in judged):
            return warning(
                f"the loss of the discriminator is {min(judged):.4g} to {max(judged):.4g} in all {len(judged)} lines, "
                f"next to {chance:.4g}: it guesses from the first line on",
                value=max(judged) / chance - 1.0, threshold=AT_CHANCE, n=len(judged),
                step=adversaries["discriminator"][0][0],
                advice="train the discriminator alone on real and noise samples first; if that fails, its labels, its "
                "learning rate or its last layer are at fault",
            )  # fmt: skip
    return None
