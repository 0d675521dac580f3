"""trainer_state.json as transformers writes it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from dpdrun.diagnosis.logs.facts import facts_of_log
from dpdrun.diagnosis.logs.names import Asked
from dpdrun.diagnosis.logs.trainer_state import read
from dpdrun.errors import DataError


def state(path: Path, history: list[dict[str, Any]], **other: Any) -> Path:
    content = {"best_metric": None, "epoch": 1.0, "global_step": 40, "is_world_process_zero": True,
               "log_history": history, "logging_steps": 10, "max_steps": 100, "train_batch_size": 8}  # fmt: skip
    path.write_text(json.dumps(content | other, indent=2))
    return path


HISTORY = [
    {"epoch": 0.25, "grad_norm": 1.5, "learning_rate": 5e-5, "loss": 2.0, "step": 10},
    {"epoch": 0.5, "grad_norm": math.nan, "learning_rate": 4e-5, "loss": 0.0, "step": 20},
    {"epoch": 0.5, "eval_loss": 1.9, "eval_runtime": 2.0, "step": 20},
    {"epoch": 0.75, "grad_norm": 1.2, "learning_rate": 3e-5, "loss": 1.5, "step": 30},
    {"epoch": 0.75, "total_flos": 1e9, "train_loss": 1.2, "train_runtime": 9.0, "step": 30},
]


def test_history(tmp_path: Path) -> None:
    source = read(state(tmp_path / "trainer_state.json", HISTORY), Asked())
    facts = facts_of_log(source, Asked())
    assert facts.step == [10, 20, 30]
    assert facts.loss == [2.0, 0.0, 1.5]
    assert math.isnan(facts.grad_norm[1])
    assert facts.lr == [5e-5, 4e-5, 3e-5]
    assert (facts.total_steps, facts.progress) == (100, 0.3)
    assert source.column("val_loss").values == [1.9]
    note = "loss is the mean since the previous line; grad_norm and learning_rate are from a single step"
    assert note in source.notes
    assert any("a value every 10 steps" in note for note in source.notes)


def test_a_run_of_unknown_length(tmp_path: Path) -> None:
    facts = facts_of_log(read(state(tmp_path / "trainer_state.json", HISTORY, max_steps=-1), Asked()), Asked())
    assert facts.total_steps is None


def test_a_list_of_records(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text(json.dumps(HISTORY[:2]))
    log = read(path, Asked())
    assert log.format == "JSON"
    assert log.columns["loss"].values == [2.0, 0.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"log_history": []}', "log_history is empty"),
        ('{"log_history": ', r"s.json:1:17: not valid JSON"),
        ('{"model_type": "gru"}', "expected trainer_state.json"),
        ("", "the file is empty"),
        ('[{"step": 1, "loss": "x"}]', r"s.json:1: column 'loss'"),
    ],
)
def test_faults(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read(path, Asked())
