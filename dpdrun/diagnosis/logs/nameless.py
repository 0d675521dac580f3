"""Numbers without names: which column counts, and which is the loss, by how they move."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median

from dpdrun.rules.statistics import kendall_s

LEAST_ROWS = 4
RISES = 0.8  # of the rows of a counter: the others start again
EVEN = 0.5  # of its gaps are of one size
SINCE_1970 = 1e9  # seconds
MOST_APART = 5.0  # times, of a training and a validation loss at the start
MOST_ROWS = 400
FIRST_ROWS, EIGHTH = 6, 8


def meanings(columns: Sequence[Sequence[float]], *, of_losses: bool) -> dict[str, int]:
    """Return the position of the step, the loss and the validation loss among columns of equal length.

    A counter has whole numbers that rise; a loss is positive and falls; a validation loss begins at its level and moves
    with it, which an accuracy does not. A meaning that no column shows is left out.

    Args:
        columns: of numbers.
        of_losses: whether the file is known to hold losses, so that one that does not fall is one as well.
    """
    if not columns or not columns[0]:
        return {}
    found: dict[str, int] = {}
    counters = [at for at, column in enumerate(columns) if _counts(column)]
    if counters:
        found["step"] = counters[0]
    others = [at for at in range(len(columns)) if at not in counters]
    if len(others) == 1:
        return found | {"loss": others[0]}
    if len(columns[0]) < LEAST_ROWS:
        return found
    left = [at for at in others if _may_be_loss(columns[at])]
    left = [at for at in left if not any(list(columns[at]) == list(columns[other]) for other in left if other < at)]
    falling = [at for at in left if _falls(columns[at])]
    losses = falling or (left if of_losses else [])
    if not losses:
        return found
    found["loss"] = losses[0]
    scores = [at for at in left if at > losses[0] and _goes_with(columns[losses[0]], columns[at])]
    return found | ({"val_loss": scores[0]} if scores else {})


def _counts(column: Sequence[float]) -> bool:
    if not all(math.isfinite(value) and value == int(value) for value in column):
        return False
    gaps = Counter(b - a for a, b in pairwise(column))
    even = max(gaps.values(), default=0) >= EVEN * (len(column) - 1)
    rising = sum(count for gap, count in gaps.items() if gap > 0.0)
    return even and rising >= RISES * (len(column) - 1) and max(column) < SINCE_1970


def _may_be_loss(column: Sequence[float]) -> bool:
    finite = [value for value in column if math.isfinite(value)]
    return bool(finite) and min(finite) >= 0.0 and len(set(finite)) > 1 and max(finite) < SINCE_1970


def _falls(column: Sequence[float]) -> bool:
    finite = [value for value in column if math.isfinite(value)]
    third = max(1, len(finite) // 3)
    return fmean(finite[-third:]) < fmean(finite[:third])


def _goes_with(loss: Sequence[float], other: Sequence[float]) -> bool:
    """Return whether a column begins at the level of a loss and falls where it falls, in the first rows.

    There a loss falls most; later, a validation loss may rise again.
    """
    rows = min(MOST_ROWS, max(FIRST_ROWS, len(loss) // EIGHTH))
    pairs = [(a, b) for a, b in zip(loss[:rows], other[:rows], strict=True) if math.isfinite(a) and math.isfinite(b)]
    start, level = (median(each[:LEAST_ROWS]) for each in zip(*pairs, strict=True)) if pairs else (0.0, 0.0)
    near = start > 0.0 and 1.0 / MOST_APART <= level / start <= MOST_APART
    return near and kendall_s([b for _, b in sorted(pairs)]) > 0
