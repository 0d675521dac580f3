"""A loss that is summed up over the batches of an epoch."""

from __future__ import annotations

import pytest

from dpdrun.diagnosis.logs.running_sum import increments

EPOCHS = [epoch for epoch in (1, 2, 3) for _ in range(4)]


def test_a_sum_is_read_as_what_each_line_adds() -> None:
    sums = [0.25, 20.25, 40.25, 60.25, 0.125, 15.125, 30.125, 45.125, 0.0625, 10.0625, 20.0625, 30.0625]
    steps = [20.0] * 3 + [15.0] * 3 + [10.0] * 3
    assert increments(sums, EPOCHS) == list(zip([1, 2, 3, 5, 6, 7, 9, 10, 11], steps, strict=True))


@pytest.mark.parametrize(
    "losses",
    [
        [3.0, 2.5, 2.0, 1.5, 2.5, 2.0, 1.5, 1.0, 2.0, 1.5, 1.0, 0.5],  # falls
        [1.0, 1.1, 1.2, 1.3, 1.1, 1.2, 1.3, 1.4, 1.2, 1.3, 1.4, 1.5],  # rises a little in every epoch
        [0.25, 20.0, 40.0, 60.0, 0.125, 15.0, 30.0, 45.0, 0.0625, 10.0, 9.0, 30.0],  # one line falls
        [0.25, 20.0, 40.0, float("nan"), 0.125, 15.0, 30.0, 45.0, 0.0625, 10.0, 20.0, 30.0],
    ],
)
def test_other_losses_are_left_alone(losses: list[float]) -> None:
    assert increments(losses, EPOCHS) is None


def test_two_epochs_are_too_few() -> None:
    assert increments([0.25, 20.0, 40.0, 60.0] * 2, [1] * 4 + [2] * 4) is None
