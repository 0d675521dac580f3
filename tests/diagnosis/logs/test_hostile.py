"""Logs of strangers are read, or refused with one short message; the files of `hostile/` were found by an attack."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dpdrun import commands
from dpdrun.diagnosis.logs.formats import read_log
from dpdrun.errors import DataError

HOSTILE = Path(__file__).parent / "hostile"
WRITTEN = {
    "field.csv": "step,loss," + "x" * 200_000 + "\n1,2,3\n",
    "nested.jsonl": '{"step": 1, "loss": 1.0}\n' + '{"a":' * 1100 + "1" + "}" * 1100 + "\n{}\n",
    "tensor.jsonl": '{"step": 1, "loss": "' + "tensor(" * 3000 + '"}\n{"step": 2, "loss": 1}\n',
    "percent.csv": "step,loss\n1,1" + "%" * 3000 + "\n2,1\n",
    "digits.jsonl": '{"step": ' + "9" * 5000 + ', "loss": 1}\n{"step": 2, "loss": 1}\n',
}  # fmt: skip


def refused(path: Path) -> str:
    result = CliRunner().invoke(commands.app, ["diagnose", str(path)])
    assert result.exit_code == 2, result.output
    assert len(result.stderr.strip().splitlines()) <= 3, result.stderr
    assert not [c for c in result.output if c != "\n" and not c.isprintable()]
    return result.stderr


@pytest.mark.parametrize(
    "name", ["digits.json", "nest1100.json", "tb_badproto1", "tb_lenbomb2", "tb_res", "tb_eviltag"]
)
def test_what_an_attack_found_is_one_message(name: str) -> None:
    assert str(HOSTILE / name) in refused(HOSTILE / name)


@pytest.mark.parametrize("name", WRITTEN)
def test_depths_and_lengths_are_bounded(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(WRITTEN[name])
    assert name in refused(tmp_path / name)


def test_a_shape_of_an_event_takes_no_memory() -> None:
    facts, _ = read_log(HOSTILE / "tb_shape")
    assert facts.loss


def test_names_of_columns_are_on_one_line_and_visible(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(f'{{"step": {i}, "loss\\n\\u001b[2J\\u202e": {i}}}\n' for i in range(9)))
    assert "loss\\n\\x1b[2J\\u202e" in refused(path)
    with pytest.raises(DataError):
        read_log(path)


@pytest.mark.parametrize("given", ["beta2=5", "eps=0", "parameters=-1", "floor_db=1e9", "total_steps=0"])
def test_single_values_are_in_range(given: str, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("step,loss\n" + "".join(f"{i},1.0\n" for i in range(1, 20)))
    result = CliRunner().invoke(commands.app, ["diagnose", str(path), "--map", given])
    assert (result.exit_code, result.stderr.startswith(f"error: --map {given}: expected")) == (2, True), result.stderr


def test_a_folder_of_everything_is_not_walked(tmp_path: Path) -> None:
    deep = tmp_path
    for i in range(12):
        deep = deep / str(i)
    (deep / "history").mkdir(parents=True)
    (deep / "history" / "a.csv").write_text("EPOCH,N_EPOCH,LR\n")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert "no log in it" in refused(tmp_path)


def test_a_log_may_come_from_a_pipe() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"step,loss\n" + b"".join(b"%d,1.0\n" % i for i in range(1, 20)))
    os.close(writer)
    try:
        facts, log = read_log(Path(f"/dev/fd/{reader}"))
    finally:
        os.close(reader)
    assert (len(facts.loss), str(log.path)) == (19, f"/dev/fd/{reader}")


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("name", ["a.csv", "metrics.jsonl", "history/a.csv", "lightning_logs/version_0/metrics.csv"])
def test_a_pipe_in_a_folder_of_logs_is_not_waited_for(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="no log in it"):
        read_log(tmp_path)
