"""The vocabulary of logs is that of the facts."""

from __future__ import annotations

import json
from pathlib import Path

from dpdrun.diagnosis.logs.log import COLUMNS, VALUES, TrainingLog
from dpdrun.rules.facts.run import RunFacts


def test_values_are_facts_of_a_run() -> None:
    assert set(VALUES) <= set(RunFacts.__dataclass_fields__)
    assert set(COLUMNS) - {"loss_db", "val_nmse_db", "val_loss"} <= set(RunFacts.__dataclass_fields__)


def test_json_says_how_a_log_was_read() -> None:
    source = TrainingLog("CSV", Path("a.csv"), found={"loss": "x"}, unit="epoch", notes=["note"])
    assert json.loads(json.dumps(source.to_json())) == {
        "format": "CSV", "program": None, "path": "a.csv", "unit": "epoch", "loss_unit": None,
        "columns": {"loss": "x"}, "notes": ["note"],
    }  # fmt: skip
