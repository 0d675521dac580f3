"""JSON a line."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from dpdrun.diagnosis.logs.jsonl_log import flat, read
from dpdrun.diagnosis.logs.log import RawLog
from dpdrun.diagnosis.logs.names import Asked
from dpdrun.errors import DataError


def log(tmp_path: Path, text: str) -> RawLog:
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
    assert flat({"a": {"b": {"c": 1}}, "d": [2], "e": "x"}) == {"a.b.c": 1, "e": "x"}
