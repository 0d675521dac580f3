"""metrics.jsonl without its folder."""

from __future__ import annotations

import json
from pathlib import Path

from dpdrun.diagnosis.logs.dpdrun_metrics import is_one, read
from dpdrun.diagnosis.logs.names import Asked

STEP = {"kind": "step", "loss": 0.5, "grad_norm": 0.3, "lr": 1e-3, "lr_planned": 1e-3, "clip_norm": "inf",
        "clipped": False}  # fmt: skip


def test_means_of_epochs_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = [STEP | {"step": 1}, STEP | {"step": 2, "grad_norm": "nan"},
             {"kind": "epoch", "step": 2, "loss": 9.0, "grad_norm": 9.0},
             {"kind": "eval", "step": 2, "val_nmse_db": -20.0}]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert is_one(path, path.read_text().splitlines()[0])
    found = read(path, Asked())
    assert found.columns["loss"].values == [0.5, 0.5]
    assert found.columns["clip_norm"].values == [float("inf")] * 2
    assert found.columns["val_nmse_db"].values == [-20.0]


def test_others_are_not_taken_for_one(tmp_path: Path) -> None:
    assert not is_one(tmp_path / "x.jsonl", '{"step": 1, "loss": 2}')
    assert not is_one(tmp_path / "x.jsonl", "{")
