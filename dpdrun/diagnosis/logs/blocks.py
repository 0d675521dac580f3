"""Steps that go back in a log: a resumed run, a second run in the same file, or two processes at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Literal

from dpdrun.rules.text import pluralize

LEAST = 8  # lines of a run that can be judged
WRITERS_BACK = 3
REPEATED = 0.2  # of the lines: a resumed run repeats the few since its checkpoint
SHORT = 3  # lines in a row of one writer
Kind = Literal["rising", "resumed", "runs", "writers"]


@dataclass(frozen=True)
class Blocks:
    """The lines with training numbers, split where the steps go back.

    Attributes:
        kind: what the blocks are.
        first, last: positions of the lines to judge, in the list of steps; the last is included.
        back: positions at which a block begins.
        repeated: share of the lines whose step another line has.
    """

    kind: Kind
    first: int
    last: int
    back: list[int]
    repeated: float

    def superseded(self, steps: Sequence[int]) -> list[range]:
        """Return the positions that a resumed run repeated: those from the step on to which it went back.

        A line out of order does not count: three lines or more have to be repeated, and half as many have to follow.
        """
        if self.kind != "resumed":
            return []
        found = []
        for start, end in pairwise([*self.back, len(steps)]):
            first = start
            while first > 0 and steps[first - 1] >= steps[start]:
                first -= 1
            if start - first >= SHORT and end - start >= (start - first) / 2:
                found.append(range(first, start))
        return found

    def note(self, lines: Sequence[int]) -> str | None:
        """Return the note about the order, None if there is none; `lines` are the line numbers of the steps."""
        if self.kind == "rising":
            twice = f"{self.repeated:.0%} of the lines repeat a step: each step counts once, with its last values"
            return twice if self.repeated else None
        times = f"steps go back {pluralize(len(self.back), 'time')}, first in line {lines[self.back[0]]}"
        if self.kind == "writers":
            return f"{times}: two processes wrote this file; each step counts once, with its last values"
        if self.kind == "runs":
            return (
                f"{len(self.back) + 1} runs in one file ({times}): lines {lines[self.first]} to "
                f"{lines[self.last]} are judged, the last run that is long enough"
            )
        return f"{times}: a resumed run, or lines out of order; the last values count"


def blocks_of(steps: Sequence[int]) -> Blocks:
    """Split steps where they go back."""
    back = [i for i, (a, b) in enumerate(pairwise(steps), start=1) if b < a]
    repeated = 1.0 - len(set(steps)) / len(steps) if steps else 0.0

    def blocks(kind: Kind, first: int = 0, last: int = len(steps) - 1) -> Blocks:
        return Blocks(kind, first, last, back, repeated)

    if not back:
        return blocks("rising")
    starts, ends = [0, *back], [*back, len(steps)]
    lengths = [end - start for start, end in zip(starts, ends, strict=True)]
    if len(back) >= WRITERS_BACK and repeated >= REPEATED and median(lengths) <= SHORT:
        return blocks("writers")
    begin = steps[0] + (steps[1] - steps[0] if lengths[0] > 1 else 0)
    if starts[1] < LEAST or any(steps[start] > begin for start in back):
        return blocks("resumed")
    judged = next((i for i in reversed(range(len(starts))) if lengths[i] >= LEAST), 0)
    return blocks("runs", starts[judged], ends[judged] - 1)
