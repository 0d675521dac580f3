"""JSON a line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from dpdrun.diagnosis.logs.jsonl_log import flat, is_metrics, read, read_dpdrun_metrics
from dpdrun.diagnosis.logs.log import TrainingLog
from dpdrun.diagnosis.logs.names import Asked
from dpdrun.errors import DataError


def log(tmp_path: Path, text: str) -> TrainingLog:
    path = tmp_path / "log.jsonl"
    path.write_text(text, encoding="utf-8")
    return read(path, Asked())


def test_lines_with_different_keys(tmp_path: Path) -> None:
    found = log(
        tmp_path,
        '{"step": 1, "train": {"loss": 0.5, "grad_norm": NaN}, "name": "x", "list": [1]}\n\n'
        '{"step": 1, "val_loss": 0.4}\n{"step": 2, "train": {"loss": "inf"}}\n{"step": 3, "train": {"lo',
    )
    assert found.columns["loss"].steps == [1, 2]
    assert found.columns["loss"].values == [0.5, math.inf]
    assert math.isnan(found.columns["grad_norm"].values[0])
    assert found.columns["val_loss"].steps == [1]
    assert found.found["loss"] == "train.loss"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ('{"step": 1}\n{oops}\n{"step": 2}\n', r"log.jsonl:2: not valid JSON"),
        ('{"step": 1}\n[1]\n', r"log.jsonl:2: expected one JSON object per line"),
        ('{"step": 1, "loss": "low"}\n', r"log.jsonl:1: column 'loss'"),
    ],
)
def test_faults_are_named_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        log(tmp_path, text)


def test_flat() -> None:
    assert flat({"a": {"b": {"c": 1}}, "d": [2], "e": "x", "f": [1, 2]}) == {"a.b.c": 1, "d": 2, "e": "x"}


STEP = {"kind": "step", "loss": 0.5, "grad_norm": 0.3, "lr": 1e-3, "lr_planned": 1e-3, "clip_norm": "inf",
        "clipped": False}  # fmt: skip


def test_means_of_epochs_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = [STEP | {"step": 1}, STEP | {"step": 2, "grad_norm": "nan"},
             {"kind": "epoch", "step": 2, "loss": 9.0, "grad_norm": 9.0},
             {"kind": "eval", "step": 2, "val_nmse_db": -20.0}]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert is_metrics(path, path.read_text().splitlines()[0])
    found = read_dpdrun_metrics(path, Asked())
    assert found.columns["loss"].values == [0.5, 0.5]
    assert found.columns["clip_norm"].values == [float("inf")] * 2
    assert found.columns["val_nmse_db"].values == [-20.0]


def test_others_are_not_taken_for_one(tmp_path: Path) -> None:
    assert not is_metrics(tmp_path / "x.jsonl", '{"step": 1, "loss": 2}')
    assert not is_metrics(tmp_path / "x.jsonl", "{")
