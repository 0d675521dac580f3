"""SP: whether the splits of a record are separated."""

from __future__ import annotations

import math
from typing import Annotated

from dpdrun.rules.conditions import Within
from dpdrun.rules.declare import check, warning
from dpdrun.rules.engine import Verdict

GRU_REACH = 64  # samples after which the state of a GRU has settled, as its burn-in (FR001)
GUARD = 256  # of `guard: auto` for a record that is not short (data/splits.py)


@check(
    "SP101", about=("data.split.guard",), fix="unsafe", evidence="assumed",
    source="an output near a cut depends on input from the other side; OpenDPD Studio drops 256 samples there",
    fires=dict(kind="transformer", window=32, layers=2, conv=4, guard=0),
    silent=dict(kind="transformer", window=32, layers=2, conv=4, guard=256),
)  # fmt: skip
def windows_overlap_across_the_split(guard: Annotated[int, Within(0)], context: float) -> Verdict:
    """The guard at the cuts of the record is shorter than the receptive field.

    ## Why
    Frames are drawn within a split, so no frame contains samples of two. But an amplifier's output after a cut still
    depends on the input before it, and the input itself is correlated over a symbol: the end of one split leaks into
    the next.

    ## Known limits
    This affects a few hundred samples of a split. `guard: auto` is not checked: it is 256, or less for a short record.
    For full attention and GRUs a receptive field of 64 samples is assumed.
    """
    reach = GRU_REACH if math.isinf(context) else math.ceil(context)
    if guard >= reach:
        return None
    return warning(
        f"data.split.guard {guard} is less than the receptive field of {reach} samples: the splits are not independent",
        value=guard, threshold=reach, patch={"data.split.guard": max(GUARD, reach)}, also=", or omit it",
    )  # fmt: skip
