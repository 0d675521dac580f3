"""A series of numbers as one line of block characters."""

from __future__ import annotations

import math
from collections.abc import Sequence

_BLOCKS = "".join(map(chr, range(0x2581, 0x2589)))  # lower one eighth block to full block


def sparkline(values: Sequence[float], width: int, *, log: bool = False) -> str:
    """`values` as at most `width` blocks, each the mean of its share; non-finite or (if log) non-positive are `x`."""
    shares = [values[i * len(values) // width : (i + 1) * len(values) // width] for i in range(width)]
    means = [_mean(share, log=log) for share in (shares if len(values) > width else [[v] for v in values])]
    finite = [m for m in means if math.isfinite(m)]
    if not finite:
        return "x" * len(means)
    low, span = min(finite), (max(finite) - min(finite)) or 1.0
    return "".join(_BLOCKS[int((m - low) / span * 7.999)] if math.isfinite(m) else "x" for m in means)


def _mean(share: Sequence[float], *, log: bool) -> float:
    if log:
        share = [math.log10(v) if v > 0 else math.nan for v in share]
    return sum(share) / len(share)
