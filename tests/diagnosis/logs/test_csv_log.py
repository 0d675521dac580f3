"""CSV logs as people write them: separators, BOM, torn lines, gaps, repeats, and errors with their place."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from dpdrun.diagnosis.logs.csv_log import dialect_of, read
from dpdrun.diagnosis.logs.log import TrainingLog
from dpdrun.diagnosis.logs.names import parse_map
from dpdrun.errors import DataError


def log(tmp_path: Path, text: str | bytes, maps: str = "") -> TrainingLog:
    path = tmp_path / "log.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path, parse_map([maps] if maps else []))


PLAIN = "step,loss,lr\n1,0.5,1e-3\n2,0.25,1e-3\n"


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", ";").replace("0.", "0,"),
        "\ufeff" + PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.removesuffix("\n"),
        PLAIN.replace("\n", ",\n").replace("lr,", "lr"),
        "# made by hand\n\n" + PLAIN,
        "model_history_log\n" + PLAIN.replace(",", ";"),
        PLAIN + "step,loss,lr\n",
        PLAIN + "3,0.1",
        'step,"loss",lr\n1,"0.5",1e-3\n2,"0.25",1e-3\n',
        PLAIN.replace("step,", "schritt,step,").replace("\n1,", "\nx,1,").replace("\n2,", "\nx,2,"),
        PLAIN.replace("1,0.5", "1.0,0.5"),
    ],
    ids=["plain", "semicolons", "tabs", "decimal comma", "BOM", "CRLF", "no newline", "trailing comma", "comment",
         "title", "header again", "torn line", "quoted", "text column", "steps as floats"],
)  # fmt: skip
def test_spellings_of_one_log(tmp_path: Path, text: str) -> None:
    found = log(tmp_path, text)
    assert found.columns["loss"].steps == [1, 2]
    assert found.columns["loss"].values == [0.5, 0.25]
    assert found.columns["lr"].values == [1e-3, 1e-3]


def test_names_of_other_encodings_do_not_matter(tmp_path: Path) -> None:
    assert log(tmp_path, "step,loss,gr\xf6sse\n1,0.5,2\n".encode("latin-1")).columns["loss"].values == [0.5]


def test_non_finite_numbers_and_gaps(tmp_path: Path) -> None:
    found = log(tmp_path, "step,loss,val_loss\n1,0.5,\n2,nan,\n3,inf,0.4\n4,NA,\n")
    assert found.columns["loss"].steps == [1, 2, 3]
    assert math.isnan(found.columns["loss"].values[1])
    assert found.columns["loss"].values[2] == math.inf
    assert found.columns["val_loss"].steps == [3]


def test_cells_that_stay_empty_at_the_end_were_nan(tmp_path: Path) -> None:
    rows = [f"{i},{0.5 if i < 8 else ''},1e-3" for i in range(1, 11)]
    found = log(tmp_path, "step,loss,lr\n" + "\n".join(rows) + "\n")
    assert found.columns["loss"].steps == list(range(1, 11))
    assert [math.isnan(value) for value in found.columns["loss"].values] == [False] * 7 + [True] * 3
    assert "loss is empty in 3 rows, first in line 9" in found.notes[0]


def test_a_last_row_of_validation_is_no_nan(tmp_path: Path) -> None:
    rows = [f"{i},0.5,1e-3," for i in range(1, 9)] + ["8,,,0.4"]
    found = log(tmp_path, "step,loss,lr,val_loss\n" + "\n".join(rows) + "\n")
    assert found.columns["loss"].steps == list(range(1, 9))
    assert found.notes == []


def test_a_resumed_run_counts_once(tmp_path: Path) -> None:
    found = log(tmp_path, "step,loss\n1,9\n2,8\n3,7\n2,6\n3,5\n4,4\n")
    assert found.columns["loss"].steps == [1, 2, 3, 4]
    assert found.columns["loss"].values == [9, 6, 5, 4]
    assert "steps go back 1 time, first in line 5" in found.notes[0]


def test_lines_out_of_order_are_sorted(tmp_path: Path) -> None:
    assert log(tmp_path, "step,loss\n3,7\n1,9\n2,8\n").columns["loss"].values == [9, 8, 7]


def test_a_step_that_starts_again_every_epoch_is_counted_on(tmp_path: Path) -> None:
    rows = [f"{epoch},{step},0.5" for epoch in range(3) for step in range(4)]
    found = log(tmp_path, "epoch,step,loss\n" + "\n".join(rows) + "\n")
    assert found.columns["loss"].steps == list(range(12))
    assert "restarts with every epoch" in found.notes[0]
    rows = [f"{epoch},{step},0.5" for epoch in range(1, 4) for step in (10, 20, 30)]
    found = log(tmp_path, "epoch,step,loss\n" + "\n".join(rows) + "\n")
    assert found.columns["loss"].steps == list(range(10, 100, 10))


def test_epochs_are_steps_where_there_is_nothing_finer(tmp_path: Path) -> None:
    found = log(tmp_path, "epoch,loss\n0,0.5\n1,0.4\n2,0.3\n")
    assert (found.unit, found.columns["loss"].steps) == ("epoch", [0, 1, 2])


@pytest.mark.parametrize("epochs", [("0.25", "0.5", "0.75"), ("1", "1", "1")], ids=["fractions", "repeats"])
def test_epochs_that_count_no_rows(tmp_path: Path, epochs: tuple[str, ...]) -> None:
    found = log(tmp_path, "epoch,loss\n" + "".join(f"{epoch},0.5\n" for epoch in epochs))
    assert (found.unit, found.columns["loss"].steps) == ("line", [1, 2, 3])
    assert "lines are counted instead" in found.notes[0]
    assert "step" not in found.found


def test_no_steps_at_all(tmp_path: Path) -> None:
    found = log(tmp_path, "loss\n0.5\n0.4\n")
    assert found.columns["loss"].steps == [1, 2]
    assert "no step column" in found.notes[0]


@pytest.mark.parametrize(
    ("text", "maps", "message"),
    [
        ("", "", "the file is empty"),
        ("step,loss\n1,0.5\n2,fast\n", "", r"log.csv:3: column 'loss' \(read as loss\): 'fast' is not a number; if it"),
        ("step,x\n1,fast\n", "loss=x", r"log.csv:2: column 'x' \(read as loss\): 'fast' is not a number$"),
        ("step,loss\n1,0.5,3\n2,0.5\n", "", r"log.csv:2: 3 cells, but line 1 names 2 columns"),
        ("step,loss\n1.5,0.5\n", "step=step", r"log.csv:2: column 'step' \(the step\): 1.5 is not a whole number"),
        ("epoch,loss\n0.5,0.5\n", "step=epoch", r"log.csv:2: column 'epoch' \(the step\): 0.5 is not a whole"),
        (b"\xff\xfes\0t\0", "", "UTF-16"),
        (b"\x89PNG\0\0", "", "binary file"),
    ],
)  # fmt: skip
def test_faults_are_named_with_their_place(tmp_path: Path, text: str | bytes, maps: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        log(tmp_path, text, maps)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        dialect_of(tmp_path / "no.csv")


def test_a_column_without_a_value_is_not_part_of_a_sum(tmp_path: Path) -> None:
    found = log(tmp_path, "step,velocity_loss,stress_loss\n1,8.5,\n2,4.25,\n")
    assert (found.found["loss"], found.column("loss").values) == ("velocity_loss", [8.5, 4.25])
    both = log(tmp_path, "step,velocity_loss,stress_loss\n1,8.5,1\n2,4.25,1\n")
    assert both.column("loss").values == [9.5, 5.25]
