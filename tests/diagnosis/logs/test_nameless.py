"""Which column of a table without names is the loss."""

from __future__ import annotations

import pytest

from dpdrun.diagnosis.logs.nameless import meanings

EPOCHS = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
LOSS = [2.3, 1.6, 1.2, 1.0, 0.9, 0.8]
SCORE = [2.2, 1.7, 1.4, 1.3, 1.35, 1.4]
ACCURACY = [10.0, 35.0, 50.0, 60.0, 65.0, 70.0]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ([EPOCHS, LOSS], {"step": 0, "loss": 1}),
        ([EPOCHS, LOSS, ACCURACY, SCORE, ACCURACY], {"step": 0, "loss": 1, "val_loss": 3}),
        ([LOSS, LOSS, LOSS], {"loss": 0}),
        ([EPOCHS, [value / 100 for value in ACCURACY], LOSS], {"step": 0, "loss": 2}),
        ([EPOCHS, ACCURACY, [*ACCURACY[:0:-1], 9.0]], {"step": 0, "loss": 2}),
        ([EPOCHS, [-value for value in LOSS]], {"step": 0, "loss": 1}),
        ([EPOCHS, ACCURACY, [value + 1 for value in ACCURACY]], {"step": 0}),
        ([], {}),
    ],
    ids=["two", "five", "equal", "accuracy first", "falls in the mean", "negative", "nothing falls", "none"],
)
def test_meanings(columns: list[list[float]], expected: dict[str, int]) -> None:
    assert meanings(columns, of_losses=False) == expected


def test_in_a_file_of_losses_one_that_does_not_fall_is_a_loss() -> None:
    still = [0.7, 0.71, 0.7, 0.72, 0.71, 0.71]
    assert meanings([still, ACCURACY], of_losses=True) == {"loss": 0}
    assert "loss" not in meanings([still, ACCURACY], of_losses=False)


def test_a_loss_that_rises_against_the_training_loss_may_be_an_accuracy() -> None:
    accuracy = [0.9, 1.2, 1.4, 1.5, 1.6, 1.7]
    assert "val_loss" not in meanings([LOSS, accuracy], of_losses=True)
