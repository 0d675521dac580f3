"""Rows of validation, and rows of several runs in one log."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpdrun.diagnosis.logs.csv_log import read
from dpdrun.diagnosis.logs.log import TrainingLog
from dpdrun.diagnosis.logs.names import Asked
from dpdrun.errors import DataError


def log(tmp_path: Path, text: str) -> TrainingLog:
    path = tmp_path / "log.csv"
    path.write_text(text)
    return read(path, Asked())


def test_the_loss_of_validation_rows_is_the_validation_loss(tmp_path: Path) -> None:
    found = log(tmp_path, "step,split,loss,lr\n1,train,0.5,1e-3\n1,valid,0.9,\n2,Training,0.4,1e-3\n2,test,7,\n")
    assert found.columns["loss"].values == [0.5, 0.4]
    assert found.columns["val_loss"].values == [0.9]
    assert found.found["val_loss"] == "loss where split is validation"


def test_scores_in_db_too(tmp_path: Path) -> None:
    found = log(tmp_path, "step,phase,train_nmse_db\n1,train,-10\n1,eval,-9\n")
    assert found.columns["loss_db"].values == [-10.0]
    assert found.columns["val_nmse_db"].values == [-9.0]


def test_a_column_of_that_name_with_other_words_changes_nothing(tmp_path: Path) -> None:
    assert log(tmp_path, "step,mode,loss\n1,fp16,0.5\n2,,0.4\n").columns["loss"].values == [0.5, 0.4]


def test_several_runs_are_not_mixed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"log.csv:4: column 'seed' tells 2 runs apart \(0, 1\); put the rows of one"):
        log(tmp_path, "seed,step,loss\n0,1,0.5\n0,2,0.4\n1,1,0.6\n")
    assert log(tmp_path, "seed,step,loss\n7,1,0.5\n7,2,0.4\n").columns["loss"].steps == [1, 2]
