"""CSV files of known programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpdrun.diagnosis.logs.csv_formats import read
from dpdrun.diagnosis.logs.facts import facts_of_log
from dpdrun.diagnosis.logs.log import TrainingLog
from dpdrun.diagnosis.logs.names import parse_map
from dpdrun.errors import DataError


def log(tmp_path: Path, text: str, name: str = "log.csv", maps: str = "") -> TrainingLog:
    path = tmp_path / name
    path.write_text(text)
    return read(path, parse_map([maps] if maps else []))


def test_a_long_table_is_read_by_name(tmp_path: Path) -> None:
    text = "Run ID,metric,step,timestamp,value\n"
    text += "".join(f"7,loss,{step},17,{3.0 / step}\n7,val_loss,{step},17,{4.0 / step}\n" for step in (1, 2, 4))
    this = log(tmp_path, text)
    assert (this.columns["loss"].steps, this.columns["loss"].values) == ([1, 2, 4], [3.0, 1.5, 0.75])
    assert this.columns["val_loss"].values == [4.0, 2.0, 1.0]


def test_runs_of_a_long_table_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2 runs"):
        log(tmp_path, "Run ID,metric,step,value\n7,loss,1,0.5\n8,loss,1,0.6\n")


@pytest.mark.parametrize(
    "text", ["1 3.0\n2 2.5\n", "1700000000001 3.0 1\n1700000000002 2.5 2\n"], ids=["two", "MLflow"]
)
def test_a_step_and_a_loss_need_no_names(tmp_path: Path, text: str) -> None:
    loss = log(tmp_path, text, name="loss").columns["loss"]
    assert (loss.steps, loss.values) == ([1, 2], [3.0, 2.5])


@pytest.mark.parametrize(
    ("header", "program"),
    [
        ("EPOCH,N_EPOCH,LR,TRAIN_LOSS", "opendpd"),
        ("epoch,step,train_loss", "lightning"),
        ("epoch,grad_2_norm_step,step,train_loss_step", "lightning"),
        ("epoch,accuracy,loss,val_accuracy,val_loss", "keras"),
        ("epoch,loss,val_loss,learning_rate", "keras"),
        ("epoch,train_loss,eval_loss,eval_top1,lr", "timm"),
        ("epoch, train/box_loss, train/cls_loss, val/box_loss", "ultralytics"),
        ("epoch,loss,accuracy", ""),
        ("step,loss", ""),
    ],
)
def test_programs_by_header(tmp_path: Path, header: str, program: str) -> None:
    width = header.count(",") + 1
    rows = "".join(",".join([str(i)] * width) + "\n" for i in range(1, 4))
    assert log(tmp_path, f"{header}\n{rows}").program == program


def test_losses_of_yolo_are_added_up(tmp_path: Path) -> None:
    found = log(tmp_path, "epoch, train/box_loss, train/cls_loss, val/box_loss, lr/pg0\n1, 2.5, 1.5, 3, 0.1\n")
    assert found.columns["loss"].values == [4.0]
    assert found.found["loss"] == "train/box_loss + train/cls_loss"
    assert found.columns["val_loss"].values == [3.0]
    assert found.columns["lr"].values == [0.1]


TENSORBOARD = "Wall time,Step,Value\n1.0,10,0.5\n2.0,20,0.4\n"


def test_a_tag_of_tensorboard_is_in_the_name_of_its_file(tmp_path: Path) -> None:
    found = log(tmp_path, TENSORBOARD, "run-v0-tag-train_loss.csv")
    assert found.columns["loss"].values == [0.5, 0.4]
    assert found.found["loss"] == "Value (train_loss)"
    assert any("1000 sampled points" in note for note in found.notes)


def test_a_tag_that_says_nothing_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds one tag; say what it is: --map loss=Value, or") as error:
        facts_of_log(log(tmp_path, TENSORBOARD), parse_map([]))
    assert "\n" not in str(error.value)
    assert log(tmp_path, TENSORBOARD, maps="loss=Value").columns["loss"].steps == [10, 20]


def test_two_runs_of_wandb_are_told_apart(tmp_path: Path) -> None:
    text = '"Step","a - loss","a - loss__MIN","b - loss","b - loss__MIN"\n"1","0.5","0.5","0.4","0.4"\n'
    with pytest.raises(DataError, match="set --map 'loss=a - loss'"):
        facts_of_log(log(tmp_path, text), parse_map([]))
    assert log(tmp_path, text, maps="loss=b - loss").columns["loss"].values == [0.4]


def test_wandb_counts_in_steps_of_the_trainer(tmp_path: Path) -> None:
    text = '"train/global_step","x - train/loss","x - train/loss__MIN"\n"10","0.5","0.5"\n'
    assert log(tmp_path, text).columns["loss"].steps == [10]


def test_two_runs_of_keras_in_one_file(tmp_path: Path) -> None:
    runs = [f"{epoch},{10 * run + epoch},1\n" for run in range(2) for epoch in range(9)]
    found = log(tmp_path, "epoch,loss,val_loss\n" + "".join(runs))
    assert (found.unit, found.columns["loss"].steps) == ("epoch", list(range(9)))
    assert found.columns["loss"].values == [10.0 + epoch for epoch in range(9)]
    assert len(found.columns["val_loss"]) == 9
    assert len(found.lines) == 18


def test_a_table_with_spaces(tmp_path: Path) -> None:
    assert log(tmp_path, "epoch  loss   val_loss\n1      0.5    0.6\n 2     0.4    0.5\n").columns["loss"].values == [
        0.5,
        0.4,
    ]


def test_columns_without_names_are_told_by_how_they_move(tmp_path: Path) -> None:
    rows = "".join(f"{k}, {3.0 / k:.4f}, {50 + 5 * k}, {3.1 / k + 0.1:.4f}\n" for k in range(1, 9))
    found = log(tmp_path, rows, name="stats")
    assert found.found == {"step": "column 1", "loss": "column 2", "val_loss": "column 4"}
    assert any("have no names" in note for note in found.notes)


def test_a_line_of_text_between_rows_is_left_out(tmp_path: Path) -> None:
    found = log(tmp_path, "epoch,loss\n<<<<<<< HEAD\n1,2.0\n2,1.0\n=======\n3,0.9\n")
    assert found.columns["loss"].values == [2.0, 1.0, 0.9]


def test_the_mean_of_a_run_is_not_its_loss(tmp_path: Path) -> None:
    rows = "".join(f"{k},{2.0 / k},\n" for k in range(1, 6))
    assert log(tmp_path, f"step,loss,train_loss\n{rows}5,,0.9\n").found["loss"] == "loss"


def test_a_printed_table_of_pandas_has_a_column_more_than_names(tmp_path: Path) -> None:
    found = log(tmp_path, "   epoch  train_loss\n0      1      2.5\n1      2      2.0\n")
    assert found.columns["loss"].values == [2.5, 2.0]
