"""Which reader a path is for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dpdrun.diagnosis.logs.formats import find_log, read_log
from dpdrun.diagnosis.logs.names import parse_map
from dpdrun.errors import DataError

CSV = "step,loss\n1,0.5\n"
STATE = json.dumps({"log_history": [{"step": 1, "loss": 0.5}], "max_steps": 2}, indent=2)
METRICS = '{"kind": "step", "step": 1, "loss": 0.5, "lr_planned": 1e-3}\n'

FORMATS = {
    "log.csv": (CSV, "CSV"),
    "log.txt": (CSV, "CSV"),
    "metrics.csv": ("epoch,step,train_loss\n0,1,0.5\n", "Lightning metrics.csv"),
    "history.csv": ("EPOCH,N_EPOCH,LR,TRAIN_LOSS\n0,10,0.005,0.5\n", "OpenDPD history (CSV)"),
    "log.jsonl": ('{"step": 1, "loss": 0.5}\n', "JSONL"),
    "metrics.jsonl": (METRICS, "metrics.jsonl of dpdrun"),
    "trainer_state.json": (STATE, "Hugging Face trainer_state.json"),
    "other.json": (STATE, "Hugging Face trainer_state.json"),
    "list.json": ('[{"step": 1, "loss": 0.5}]', "JSON"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats_by_name_and_content(tmp_path: Path, name: str) -> None:
    text, format_ = FORMATS[name]
    (tmp_path / name).write_text(text)
    facts, source = read_log(tmp_path / name)
    assert source.format == format_
    assert facts.loss == [0.5]


def test_state_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps(json.loads(STATE)))
    assert read_log(path)[0].total_steps == 2


def test_map_reaches_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("it;mse;g\n1;0,5;2\n")
    facts, _ = read_log(path, parse_map(["step=it,loss=mse,grad_norm=g"]))
    assert (facts.step, facts.loss, facts.grad_norm) == ([1], [0.5], [2.0])


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["checkpoint-9/trainer_state.json", "checkpoint-10/trainer_state.json"], "checkpoint-10/trainer_state.json"),
        (["trainer_state.json", "checkpoint-10/trainer_state.json"], "trainer_state.json"),
        (["version_2/metrics.csv", "version_10/metrics.csv"], "version_10/metrics.csv"),
        (["lightning_logs/version_0/metrics.csv"], "lightning_logs/version_0/metrics.csv"),
        (["events.out.tfevents.1.host"], "."),
        (["run/events.out.tfevents.1.host"], "run"),
        (["log.csv", "notes.txt"], "log.csv"),
        (["log/APA/train_pa/history/a.csv"], "log/APA/train_pa/history/a.csv"),
    ],
)
def test_folders(tmp_path: Path, files: list[str], found: str) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("x")
    assert find_log(tmp_path) == tmp_path / found


def test_several_logs_are_listed(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(CSV)
    with pytest.raises(DataError, match=r"2 logs in this folder; name one:\n.*a\.csv\n.*b\.csv"):
        find_log(tmp_path)


def test_no_log(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no log in it; dpdrun reads"):
        find_log(tmp_path)
    (tmp_path / "x.csv").write_text(CSV)
    with pytest.raises(DataError, match=r"no such file or folder; .* holds: x.csv"):
        find_log(tmp_path / "y.csv")
    (tmp_path / "model.pt").write_bytes(b"PK")
    with pytest.raises(DataError, match="a checkpoint is not a log"):
        read_log(tmp_path / "model.pt")


LIGHTNING = "epoch,grad_2.0_norm_total,lr-AdamW,lr-AdamW-momentum,step,train_loss_epoch,train_loss_step,val_loss"


def lightning(path: Path) -> Path:
    rows = []
    for step in range(9, 100, 10):
        rows.append(f",,{1e-3 * (100 - step) / 100},0.9,{step},,,")  # LearningRateMonitor has a row of its own
        rows.append(f"{step // 50},{0.1 + step / 1000},,,{step},,{1.0 / (step + 1)},")
        if step % 50 == 49:
            rows.append(f"{step // 50},,,,{step},,,0.25")
            rows.append(f"{step // 50},,,,{step},0.5,,")
    path.write_text("\n".join([LIGHTNING, *rows]) + "\n")
    return path


def test_rows_of_one_step_are_joined(tmp_path: Path) -> None:
    path = lightning(tmp_path / "metrics.csv")
    facts, source = read_log(path)
    assert source.format == "Lightning metrics.csv"
    assert facts.step == list(range(9, 100, 10))
    assert facts.loss[0] == 0.1
    assert facts.grad_norm[-1] == 0.199
    assert facts.lr[0] == 1e-3 * 91 / 100
    assert source.column("val_loss").steps == [49, 99]
    assert source.found["loss"] == "train_loss_step"
    assert any("one value every 10 steps" in note for note in source.notes)
