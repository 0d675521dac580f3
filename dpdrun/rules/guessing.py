"""The loss of a model that guesses: ln K for a classifier that takes K classes as equally likely, and similar.

A level close to one of these proves nothing by itself: whole numbers K up to 20 cover a quarter of all losses between
0.7 and 2.3 to within 1.5 %. It counts only for a loss that stays there.
"""

from __future__ import annotations

import math

CLASSES = (*range(2, 21), 65, 100, 1000)  # 65: characters of Shakespeare; 100, 1000: CIFAR, ImageNet
VOCABULARIES = (30522, 32000, 32128, 50257, 50304, 51865, 65024, 128256, 151936, 152064, 256000, 262144)
SHARE = 0.015  # of the level
NATS = 0.01  # at most, or two standard errors
APART = 0.3  # over K: what distinguishes K classes from K + 1
NEVER_CLOSER = 0.002  # an untrained head is a little above its ln K
ERRORS = 3.0  # standard errors of the level
STANDARDISED = 0.02  # around 1, the variance of a standardised target
SATURATED = -math.log(2.0**-126)  # 87.3365, of a probability that is cut off at the smallest float32 (Caffe)
SATURATED_WITHIN = 1e-3
COIN = 0.25  # variance of targets that are 0 or 1, half of them each


def guess_at(level: float, error: float, unit: str | None) -> str | None:
    """Describe the constant guess whose loss equals a level; None if there is none.

    Args:
        level: of the loss, in its unit.
        error: standard error of the level.
        unit: of the loss, as `RunFacts.loss_unit`.
    """
    if unit in (None, "power") and abs(level - 1.0) <= min(STANDARDISED, max(ERRORS * error, NEVER_CLOSER)):
        return "1, the variance of a standardised target"
    if unit in (None, "power") and abs(level - COIN) <= COIN * NEVER_CLOSER:
        return "0.25, the variance of targets that are 0 or 1 equally often"
    if unit not in (None, "nats", "bits"):
        return None
    if abs(level - SATURATED) <= SATURATED_WITHIN:
        return "87.3365, minus the logarithm of the smallest float32: the right class has a probability of 0"
    scale, name = (1.0 / math.log(2.0), "log2") if unit == "bits" else (1.0, "ln")
    for count in (*CLASSES, *VOCABULARIES):
        cost = math.log(count) * scale
        sure = max(ERRORS * error, NEVER_CLOSER * cost)
        near = min(SHARE * cost, max(NATS * scale, 2.0 * error), APART * scale / count if count <= 20 else sure, sure)
        if abs(level - cost) <= near:
            return f"{name} {count}, the cross-entropy of guessing among {count} classes"
    return None
