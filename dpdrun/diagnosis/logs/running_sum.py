"""A loss that is added up over the batches of an epoch, as scripts print that never divide it by their number."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise

LEAST_EPOCHS = 3
LEAST_LINES = 4  # of each epoch
FIRST_SHARE = 0.5  # of the last sum of an epoch: what its first line is below


def increments(values: Sequence[float], epochs: Sequence[float]) -> list[tuple[int, float]] | None:
    """Return what each line adds to the sum, by position; None where the values are no such sum.

    They are one if they rise from line to line in every epoch, and begin low in each. The first line of an epoch is
    left out: it covers fewer batches than the others.

    Args:
        values: a loss, line by line.
        epochs: of these lines.
    """
    parts = [[at for at, _ in part] for _, part in groupby(enumerate(epochs), key=lambda each: each[1])]
    if len(parts) < LEAST_EPOCHS or min(map(len, parts)) < LEAST_LINES:
        return None
    for part in parts:
        rises = all(0.0 < values[a] < values[b] for a, b in pairwise(part))
        if not rises or values[part[0]] >= FIRST_SHARE * values[part[-1]]:
            return None
    return [(b, values[b] - values[a]) for part in parts for a, b in pairwise(part)]
