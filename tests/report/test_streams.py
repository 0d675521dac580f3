"""stdout and stderr that are closed, full or gone, under every command and under a training."""

from __future__ import annotations

import errno
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from dpdrun.report.streams import Keeper, SteadyFile

DPDRUN = [sys.executable, "-m", "dpdrun"]
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.is_char_device(), reason="a device of Linux")
RECIPE = """\
task: pa
data: {source: capture.npz, sample_rate_hz: 1e6}
model: {kind: gru, hidden: 4}
train: {max_steps: 4, eval_every: 2, frame: 64, batch_size: 4, compile: "off"}
"""


@contextmanager
def pipe_without_reader() -> Iterator[int]:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        yield writer
    finally:
        os.close(writer)


def test_the_first_error_is_raised_and_later_output_dropped() -> None:
    with pipe_without_reader() as writer:
        file = SteadyFile(writer)
        with pytest.raises(BrokenPipeError):
            file.write(b"one")
        assert file.write(b"two") == 3
        assert file.failure is not None


def test_a_keeper_takes_what_cannot_be_written_but_no_live_view(tmp_path: Path) -> None:
    (tmp_path / "plan.json").touch()
    with pipe_without_reader() as writer:
        file = SteadyFile(writer)
        file.keeper = Keeper(tmp_path)
        assert file.write(b"step 1\n") == 7
        file.write(b"\x1b[2Kdrawn again\n")
    kept = (tmp_path / "output.log").read_text()
    assert kept == f"output pipe closed; training continues in {tmp_path}\nstep 1\n"


def test_a_keeper_waits_for_the_folder_of_the_run(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path / "run")
    with pipe_without_reader() as writer:
        file = SteadyFile(writer)
        file.failure = OSError(errno.EIO, "gone")
        keeper.failed(file)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "plan.json").touch()
    keeper.flush()
    assert (tmp_path / "run" / "output.log").read_text().startswith("output: gone; training continues in ")


@needs_full
def test_a_disk_that_has_room_again_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "plan.json").touch()
    with FULL.open("wb") as full, (tmp_path / "log").open("wb") as log:
        file = SteadyFile(full.fileno())
        file.keeper = Keeper(tmp_path)
        file.write(b"lost\n")
        os.dup2(log.fileno(), full.fileno())
        file.write(b"written\n")
    assert (tmp_path / "log").read_text() == "written\n"
    assert (tmp_path / "output.log").read_text().endswith("No space left on device; training continues in "
                                                          f"{tmp_path}\nlost\n")  # fmt: skip


COMMANDS = {  # of every command one call that ends soon, and its exit code
    "sweep": (["sweep", "no.yaml"], 2),
    "train": (["train", "RECIPE", "--dry-run"], 0),
    "evaluate": (["evaluate", "no-run"], 2),
    "compare": (["compare", "no-run", "nor-this"], 2),
    "apply": (["apply", "no-run", "x.csv", "y.csv"], 2),
    "export": (["export", "no-run", "--to", "npz", "-o", "x.npz"], 2),
    "recommend": (["recommend", "RECIPE"], 0),
    "lint": (["lint", "RECIPE"], 0),
    "probe": (["probe", "no.yaml"], 2),
    "import": (["import", "python main.py --step train_pa --PA_backbone gru --dataset_name DPA_200MHz"], 0),
    "diagnose": (["diagnose", "LOG"], 0),
    "explain": (["explain", "LR010"], 0),
    "data": (["data", "list"], 0),
    "recipe": (["recipe", "check", "RECIPE"], 0),
    "health": (["health", "no-run"], 1),
    "--help": (["--help"], 0),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streams")
    rng = np.random.default_rng(0)
    x = 0.1 * np.convolve(rng.normal(size=3008) + 1j * rng.normal(size=3008), np.hanning(9), mode="valid")
    np.savez(folder / "capture.npz", x=x, y=2.0 * x * (1 - 0.3 * np.abs(x) ** 2))
    (folder / "r.yaml").write_text(RECIPE)
    (folder / "log.csv").write_text("step,loss,grad_norm\n" + "".join(f"{i},{1 / i},1.0\n" for i in range(1, 30)))
    return folder


@needs_full
@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("broken", ["full", "closed", "stderr full", "stderr closed", "both closed", "pipe"])
def test_every_command_survives_every_stream(command: str, broken: str, folder: Path) -> None:
    arguments, code = COMMANDS[command]
    given = [{"RECIPE": "r.yaml", "LOG": "log.csv"}.get(word, word) for word in arguments]
    redirect = {
        "full": ">/dev/full", "closed": ">&-", "stderr full": "2>/dev/full", "stderr closed": "2>&-",
        "both closed": ">&- 2>&-", "pipe": "",
    }[broken]  # fmt: skip
    with pipe_without_reader() as writer:
        result = subprocess.run(
            ["bash", "-c", f'exec "$@" {redirect}', "bash", *DPDRUN, *given],
            cwd=folder, stdout=writer if broken == "pipe" else subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    prints = code in (0, 1)  # else its only message goes to stderr
    expected = {"full": 2 if prints else code, "pipe": 1 if prints else code}.get(broken, code)
    assert result.returncode == expected, result.stderr
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr


@needs_full
@pytest.mark.parametrize("redirect", [">/dev/full", ">&- 2>&-"])
def test_a_training_goes_on_without_its_output(redirect: str, folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = subprocess.run(
        ["bash", "-c", f'exec "$@" {redirect}', "bash", *DPDRUN, "train", "r.yaml", "--run-dir", str(run)],
        cwd=folder, capture_output=True, text=True, env=ONE_THREAD,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert (run / "report.json").is_file()
    if "full" in redirect:
        note = f"standard output: No space left on device; training continues in {run}\n"
        kept = (run / "output.log").read_text()
        assert kept.startswith(note)
        assert "step 4/4" in kept
        assert f"run folder: {run}" in kept
        assert result.stderr == note


@needs_full
@pytest.mark.slow
@pytest.mark.parametrize("redirect", [">/dev/full", "2>&1 | true"])
def test_a_sweep_goes_on_without_its_output(redirect: str, folder: Path, tmp_path: Path) -> None:
    result = subprocess.run(
        ["bash", "-c", f'set -o pipefail; "$@" {redirect}', "bash", *DPDRUN, "sweep", "r.yaml", "--over",
         "optim.lr=1e-3,2e-3", "--workers", "1", "--run-dir", str(tmp_path / "s")],
        cwd=folder, capture_output=True, text=True, env=ONE_THREAD,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert len(list((tmp_path / "s" / "trials").glob("*/report.json"))) == 3  # with the rules' own rate


@needs_full
def test_the_message_of_a_run_that_fails_is_in_its_folder(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    recipe = tmp_path / "diverging.yaml"
    recipe.write_text(RECIPE + 'optim: {lr: 1e30, clip_norm: "off", schedule: constant}\n')
    result = subprocess.run(
        ["bash", "-c", 'exec "$@" 2>/dev/full', "bash", *DPDRUN, "train", str(recipe), "--run-dir", str(run)],
        cwd=folder, capture_output=True, text=True, env=ONE_THREAD,
    )  # fmt: skip
    assert result.returncode == 2, result.stdout
    assert "error:" in (run / "output.log").read_text()


def test_a_terminal_that_goes_away_ends_no_training(folder: Path, tmp_path: Path) -> None:
    """As a login that is closed; its SIGHUP does not come here, as under nohup."""
    ours, theirs = pty.openpty()
    run = tmp_path / "run"
    process = subprocess.Popen(
        [*DPDRUN, "train", "r.yaml", "--run-dir", str(run)], cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True, env=ONE_THREAD,
    )  # fmt: skip
    os.close(theirs)
    os.read(ours, 1)
    os.close(ours)
    assert process.wait(300) == 0
    assert (run / "report.json").is_file()
    assert "Input/output error; training continues" in (run / "output.log").read_text()


@pytest.mark.parametrize(("given", "kept"), [("99999999", "1000"), ("\u00b2", None), ("0", None), ("120", "120")])
def test_absurd_widths_are_bounded(given: str, kept: str | None) -> None:
    code = "import os; from dpdrun.report.streams import open_streams; open_streams(); print(os.environ.get('COLUMNS'))"
    result = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "COLUMNS": given}, capture_output=True, text=True
    )
    assert result.stdout == f"{kept}\n", result.stderr
