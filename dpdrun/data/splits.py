"""Where a record is split, from its length alone: no samples are read and numpy is not needed.

A single record is cut contiguously, train | val | test, and `guard` samples are dropped on both sides of each cut (see
`assemble` for why).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from dpdrun.errors import DataError

if TYPE_CHECKING:
    from dpdrun.recipe.schema import DataSection

# Longer than the memory of any wideband PA model here (tens of samples) and than the correlation of the signals (25
# samples for a 40 MHz carrier at 983.04 MS/s); also what OpenDPD Studio uses (`contiguous-v1`, guard 256).
GUARD_SAMPLES = 256
GUARD_SHARE = 0.01  # of the record, where that is less: a short record must not lose a quarter of itself
DEFAULT_RATIOS = (0.6, 0.2, 0.2)  # as OpenDPD
MIN_PART_SAMPLES = 256  # below that a score has an error bar of several tenths of a dB

# Length of each embedded record, as `synthetic.generate` makes it.
SYNTHETIC_SAMPLES = {"synthetic/mild": 105_216, "synthetic/hard": 105_216}

Spans = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def cuts_of(total: int, ratios: tuple[float, float, float], where: str) -> tuple[int, int]:
    """Return the first sample of val and of test: int(n * share) for train and val, the rest is test, as in OpenDPD.

    Raises:
        DataError: the ratios do not add up to 1; `where` says whose they are.
    """
    if not math.isclose(sum(ratios), 1.0, abs_tol=1e-6):
        raise DataError(f"{where}: {shares(ratios)} add up to {sum(ratios) * 100:g} %, not to 100 %")
    train = int(total * ratios[0])
    return train, train + int(total * ratios[1])


def guard_of(total: int, requested: int | Literal["auto"]) -> int:
    """Return the number of samples dropped on each side of a cut."""
    return min(GUARD_SAMPLES, int(total * GUARD_SHARE)) if requested == "auto" else requested


def spans_of(total: int, cuts: tuple[int, int], guard: int) -> Spans:
    """Return (first, end) of train, val and test in a record; the end is exclusive."""
    first, second = cuts
    spans = ((0, first - guard), (first + guard, second - guard), (second + guard, total))
    train, val, test = ((start, max(start, end)) for start, end in spans)
    return train, val, test


def shares(ratios: tuple[float, float, float]) -> str:
    """Format ratios as `60/20/20 %`."""
    return "/".join(f"{share * 100:g}" for share in ratios) + " %"


def known_train_samples(section: DataSection) -> int | None:
    """Return the length of the training split if it is known without the record, as for embedded captures.

    None for any other source, and where `load_capture` might refuse the section: let it say why.
    """
    total = SYNTHETIC_SAMPLES.get(str(section.source))
    stated = section.sample_rate_hz == "auto" and section.bandwidth_hz == "auto"
    if total is None or not stated or section.align != "off" or section.resample_to_hz != "off":
        return None
    ratios, requested = DEFAULT_RATIOS, section.split
    if requested != "auto":
        ratios = (float(requested.train), float(requested.val), float(requested.test))
    guard = guard_of(total, "auto" if requested == "auto" else requested.guard)
    spans = spans_of(total, cuts_of(total, ratios, "data.split of the recipe"), guard)
    lengths = [end - start for start, end in spans]
    return lengths[0] if min(lengths) >= MIN_PART_SAMPLES else None
