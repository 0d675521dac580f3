"""Lists of numbers in text."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpdrun.diagnosis.logs.formats import read_log

LOSSES, SCORES = [2.3, 1.9, 1.7, 1.5, 1.4], [2.2, 1.95, 1.8, 1.7, 1.65]


def read(tmp_path: Path, text: str) -> tuple[list[float], list[float], str]:
    path = tmp_path / "train.log"
    path.write_text(text)
    _, log = read_log(path)
    return log.column("loss").values, log.column("val_loss").values, log.unit


@pytest.mark.parametrize(
    "text",
    [
        f"done\ntrain_losses = {LOSSES}\nval_losses = {SCORES}\n",
        f"Training loss: {LOSSES}\n\nValidation loss: {SCORES}\n",
        f"history = { ({'loss': LOSSES, 'accuracy': SCORES, 'val_loss': SCORES}) }\n",
        f"loss: {LOSSES[:4]}\nval_loss: {SCORES[:4]}\nloss: {LOSSES}\nval_loss: {SCORES}\n",
    ],
    ids=["assigned", "printed", "dict", "as it grows"],
)
def test_lists_by_name_are_epochs(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == (LOSSES, SCORES, "epoch")


def test_a_list_alone_is_the_loss(tmp_path: Path) -> None:
    assert read(tmp_path, "[2.3 1.9 1.7\n 1.5 1.4]\n")[0] == LOSSES


def test_lists_of_one_step_each_are_no_history(tmp_path: Path) -> None:
    lines = "".join(f"step {k} loss: {2.0 - k / 10} losses: [0.1, 0.2, 0.3, 0.4]\n" for k in range(5))
    assert read(tmp_path, lines)[0] == pytest.approx([2.0, 1.9, 1.8, 1.7, 1.6])
