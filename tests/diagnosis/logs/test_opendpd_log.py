"""OpenDPD's history, written as OpenDPD 2.4.2 writes it: floats with 8 decimals, through pandas."""

from __future__ import annotations

import math
from pathlib import Path

from dpdrun.diagnosis.logs.facts import facts_of_log
from dpdrun.diagnosis.logs.names import Asked
from dpdrun.diagnosis.logs.opendpd_log import SMALLEST, is_one, read

# modules/paths.py, gen_log_stat, and modules/train_funcs.py, calculate_metrics; `TIME:` is spelt so there
HEADER = (
    "EPOCH,N_EPOCH,TIME:,LR,BATCH_SIZE,N_PARAM,FRAME_LENGTH,BACKBONE,HIDDEN_SIZE,TRAIN_LOSS,VAL_NMSE,VAL_EVM,"
    "VAL_ACLR_L,VAL_ACLR_R,VAL_ACLR_AVG,VAL_LOSS,TEST_NMSE,TEST_LOSS"
)


def history(path: Path, losses: list[str], *, epochs: int = 150) -> Path:
    rows = [
        f"{i},{epochs},{i / 10:.8f},0.00500000,64,502,200,tres_gru,14,{loss},{-15 - i / 10:.8f},-30.1,-40.1,-41.2,"
        f"-40.6,{1e-3 / (i + 1):.8f},-15.0,0.00100000"
        for i, loss in enumerate(losses)
    ]
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def test_columns_units_and_length(tmp_path: Path) -> None:
    log = read(history(tmp_path / "h.csv", ["0.00100000"] * 150), Asked())
    source = log
    facts = facts_of_log(source, Asked())
    assert is_one(HEADER.split(","))
    assert (source.unit, source.format) == ("epoch", "OpenDPD history (CSV)")
    assert (facts.step[0], facts.step[-1], facts.total_steps, facts.progress) == (0, 149, 149, 1.0)
    assert facts.lr == [5e-3] * 150
    assert facts.eval_nmse_db[1] == -15.1
    assert facts.grad_norm == []
    assert len(source.column("val_loss")) == 150
    assert any("mean of the dB of segments" in note for note in source.notes)
    assert any("backbone tres_gru" in note for note in source.notes)


def test_a_running_run(tmp_path: Path) -> None:
    facts = facts_of_log(read(history(tmp_path / "h.csv", ["0.00100000"] * 30), Asked()), Asked())
    assert facts.progress is not None
    assert 0.19 < facts.progress < 0.2


def test_nan_in_any_spelling_of_pandas(tmp_path: Path) -> None:
    log = read(history(tmp_path / "h.csv", ["0.00100000", "nan", "", "0.00100000"]), Asked())
    assert [math.isnan(value) for value in log.columns["loss"].values] == [False, True, True, False]
    assert any("first in line 4" in note for note in log.notes)


def test_zeros_of_eight_decimals(tmp_path: Path) -> None:
    log = read(history(tmp_path / "h.csv", ["0.00000001", "0.00000000"]), Asked())
    assert log.columns["loss"].values == [1e-8, SMALLEST]
    assert any("8 decimals" in note for note in log.notes)


def test_the_best_epoch_alone_says_so(tmp_path: Path) -> None:
    (tmp_path / "best").mkdir()
    log = read(history(tmp_path / "best" / "h.csv", ["0.00100000"]), Asked())
    assert any("only the best epoch" in note for note in log.notes)
