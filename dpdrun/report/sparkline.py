"""A series of numbers as one line of block characters, also of a series that is too long to keep."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dpdrun.report.glyphs import BLOCKS

BAD = "x"


def sparkline(values: Sequence[float], width: int, *, log: bool = False) -> str:
    """`values` as at most `width` blocks, each the mean of its share; a share with a value that is not finite is `x`.

    With `log` the means are taken and drawn on a logarithmic scale, where values must also be positive.
    """
    if log:
        values = [_log10(value) for value in values]
    count = min(width, len(values))
    shares = (values[i * len(values) // count : (i + 1) * len(values) // count] for i in range(count))
    means = [sum(share) / len(share) for share in shares]
    finite = [mean for mean in means if math.isfinite(mean)]
    if not finite:
        return BAD * count
    low, span = min(finite), (max(finite) - min(finite)) or 1.0
    return "".join(BLOCKS[int((m - low) / span * 7.999)] if math.isfinite(m) else BAD for m in means)


class Trend:
    """A series that grows for as long as a run takes, kept as at most `capacity` means of equally many values.

    When it is full, neighbours are merged, so adding a value costs the same at step 10 and at step 100,000.

    Args:
        capacity: even; a few times the width that is drawn, so that the shares of the blocks stay about equal.
        log: keep logarithms, for a series of norms.
    """

    def __init__(self, capacity: int = 256, *, log: bool = False) -> None:
        self._capacity = capacity
        self._log = log
        self._means: list[float] = []
        self._stride = 1  # values in each mean
        self._sum = 0.0
        self._count = 0

    def __len__(self) -> int:
        return len(self._means)

    def add(self, value: float) -> None:
        """Append one value."""
        self._sum += _log10(value) if self._log else value
        self._count += 1
        if self._count < self._stride:
            return
        self._means.append(self._sum / self._count)
        self._sum, self._count = 0.0, 0
        if len(self._means) == self._capacity:
            # one assignment: a drawing thread sees the old list or the new one
            self._means = [(a + b) / 2 for a, b in zip(self._means[::2], self._means[1::2], strict=True)]
            self._stride *= 2

    def line(self, width: int) -> str:
        """The series so far as at most `width` blocks."""
        return sparkline(self._means, width)


def _log10(value: float) -> float:
    return math.log10(value) if value > 0 else math.nan
