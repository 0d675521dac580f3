"""Lightning's metrics.csv: most cells empty, several rows a step."""

from __future__ import annotations

from pathlib import Path

from dpdrun.diagnosis.logs.facts import facts_of_log
from dpdrun.diagnosis.logs.lightning_log import is_one, read
from dpdrun.diagnosis.logs.names import Asked

HEADER = "epoch,grad_2.0_norm_total,lr-AdamW,lr-AdamW-momentum,step,train_loss_epoch,train_loss_step,val_loss"


def metrics(path: Path) -> Path:
    rows = []
    for step in range(9, 100, 10):
        rows.append(f",,{1e-3 * (100 - step) / 100},0.9,{step},,,")  # LearningRateMonitor has a row of its own
        rows.append(f"{step // 50},{0.1 + step / 1000},,,{step},,{1.0 / (step + 1)},")
        if step % 50 == 49:
            rows.append(f"{step // 50},,,,{step},,,0.25")
            rows.append(f"{step // 50},,,,{step},0.5,,")
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def test_rows_of_one_step_are_joined(tmp_path: Path) -> None:
    path = metrics(tmp_path / "metrics.csv")
    assert is_one(path, HEADER.split(","))
    facts, source = facts_of_log(read(path, Asked()), Asked())
    assert facts.step == list(range(9, 100, 10))
    assert facts.loss[0] == 0.1
    assert facts.grad_norm[-1] == 0.199
    assert facts.lr[0] == 1e-3 * 91 / 100
    assert source.val_loss.steps == [49, 99]
    assert source.found["loss"] == "train_loss_step"
    assert any("a value every 10 steps" in note for note in source.notes)


def test_another_csv_is_not_taken_for_one(tmp_path: Path) -> None:
    assert not is_one(tmp_path / "log.csv", HEADER.split(","))
    assert not is_one(tmp_path / "metrics.csv", ["step", "loss"])
