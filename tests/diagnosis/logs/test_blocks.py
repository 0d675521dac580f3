"""Steps that go back: resumed, second runs, two writers."""

from __future__ import annotations

import pytest

from dpdrun.diagnosis.logs.blocks import blocks_of

RUN = list(range(10, 210, 10))


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        (RUN, "rising"),
        ([1, 1, 2, 2, 3, 3], "rising"),
        ([], "rising"),
        (RUN[:12] + RUN[9:], "resumed"),
        (RUN + RUN[:15], "runs"),
        (RUN * 5, "runs"),
        ([step for pair in zip(RUN[3:], RUN[:-3], strict=True) for step in pair], "writers"),
        ([3, 1, 2], "resumed"),
    ],
    ids=["rising", "repeated", "empty", "resumed", "second run", "folds", "two writers", "out of order"],
)
def test_kinds(steps: list[int], kind: str) -> None:
    assert blocks_of(steps).kind == kind


def test_the_last_run_that_is_long_enough_is_judged() -> None:
    this = blocks_of(RUN + RUN[:15] + RUN[:2])
    assert (this.first, this.last) == (20, 34)
    assert this.note(list(range(2, 40))) == (
        "3 runs in one file (steps go back 2 times, first in line 22): lines 22 to 36 are judged, the last run that is "
        "long enough"
    )


@pytest.mark.parametrize(
    ("steps", "superseded"),
    [
        (RUN[:12] + RUN[9:], [range(9, 12)]),
        ([1, 2, 3, 5, 4], []),
        (RUN + RUN[4:7], []),
        (RUN[:12] + RUN[10:], []),
        (RUN + RUN, []),
        (RUN[:9] + RUN[6:12] + RUN[8:], [range(6, 9), range(11, 15)]),
    ],
    ids=["resumed", "out of order", "cut off at once", "two lines", "second run", "resumed twice"],
)
def test_steps_that_a_resumed_run_repeats(steps: list[int], superseded: list[range]) -> None:
    assert blocks_of(steps).superseded(steps) == superseded


def test_repeated_steps_are_reported() -> None:
    assert "50% of the lines repeat a step" in str(blocks_of([1, 1, 2, 2]).note([1, 2, 3, 4]))
    assert blocks_of(RUN).note(RUN) is None
