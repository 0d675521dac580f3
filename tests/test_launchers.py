"""A run is the same however it was started: by dpdrun, torchrun or Accelerate, in one process or two, for real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.commands_run import BIN, DPDRUN, ROOT, ended, lines_of, same_steps, small_recipe, started

pytestmark = pytest.mark.slow

CLI = ROOT / "cli.py"
CONFIG = """\
compute_environment: LOCAL_MACHINE
distributed_type: {kind}
num_processes: 2
num_machines: 1
use_cpu: true
"""
WAYS: dict[str, tuple[int, tuple[Any, ...], tuple[str, ...]]] = {  # processes, command, flags after the recipe
    "cli.py": (1, (DPDRUN[0], CLI), ()),
    "accelerate, one process": (1, (BIN / "accelerate", "launch", CLI), ()),
    "torchrun, one process": (1, (BIN / "torchrun", "--nproc-per-node", "1", CLI), ()),
    "--processes": (2, DPDRUN, ("--processes", "2")),
    "cli.py --processes": (2, (DPDRUN[0], CLI), ("--processes", "2")),
    "torchrun": (2, (BIN / "torchrun", "--standalone", "--nproc-per-node", "2", CLI), ()),
    "multi-GPU config": (
        2, (BIN / "accelerate", "launch", "--config_file", "gpu.yaml", "--main_process_port", "0", CLI), ()
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, configs of Accelerate, and `run`, made without a launcher; its output is `plan`."""
    folder = tmp_path_factory.mktemp("launchers")
    small_recipe(folder, steps=8, every=4)
    (folder / "cpu.yaml").write_text(CONFIG.format(kind="MULTI_CPU"))
    (folder / "gpu.yaml").write_text(CONFIG.format(kind="MULTI_GPU"))
    code, out, err = ended(started(*DPDRUN, "train", "small.yaml", "--run-dir", "run", cwd=folder))
    assert (code, err) == (0, "")
    (folder / "plan").write_text(plan_line(out))
    return folder


def plan_line(out: str) -> str:
    """How the plan of a run is told, which has to be once."""
    before, _, rest = out.partition("transformer of ")
    assert "transformer of " not in rest
    assert "step 4/8" not in before
    return rest[: rest.index("step 4/8")]


@pytest.mark.parametrize("way", WAYS)
def test_every_way_gives_the_same_run_and_shows_its_plan_once(way: str, place: Path, tmp_path: Path) -> None:
    processes, command, flags = WAYS[way]
    run = tmp_path / "run"
    code, out, err = ended(started(*command, "train", "small.yaml", "--run-dir", run, *flags, cwd=place))
    assert code == 0, err
    assert plan_line(out) == (place / "plan").read_text()
    assert out.count("run folder: ") == 1
    assert json.loads((run / "report.json").read_text())["processes"] == processes
    plans = [json.loads((each / "plan.json").read_text()) for each in (run, place / "run")]
    for plan in plans:
        del plan["environment"], plan["provenance"]["train.threads"]  # the time, and the cores of a process
    assert plans[0] == plans[1]
    same_steps(run, place / "run")


def test_accelerate_on_cpus_points_to_our_launcher(place: Path, tmp_path: Path) -> None:
    command = (BIN / "accelerate", "launch", "--config_file", "cpu.yaml", CLI)
    code, _, err = ended(started(*command, "train", "small.yaml", "--run-dir", tmp_path / "run", cwd=place))
    assert code != 0  # accelerate turns our 2 into its own 1
    assert "--processes N" in err
    assert not (tmp_path / "run").exists()


def test_a_reader_that_goes_away_does_not_end_the_run(place: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = started(*DPDRUN, "train", "small.yaml", "--run-dir", run, "--processes", "2", cwd=place)
    with subprocess.Popen(["head", "-n", "1"], stdin=process.stdout, stdout=subprocess.PIPE, text=True) as head:
        assert process.stdout is not None
        process.stdout.close()
        assert head.communicate()[0]
    process.stdout = None
    assert ended(process)[0] == 0
    assert (run / "report.json").is_file()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_signals_to_a_run_of_two_processes(number: signal.Signals, tmp_path: Path) -> None:
    """SIGTERM and Ctrl-C come to the launcher; SIGKILL to its second process. All leave a run that goes on."""
    small_recipe(tmp_path, steps=1500, every=10)
    run = tmp_path / "run"
    train = (*DPDRUN, "train", "small.yaml", "--run-dir", "run")
    process = started(*train, "--processes", "2", cwd=tmp_path)
    while not ((run / "metrics.jsonl").is_file() and '"eval"' in (run / "metrics.jsonl").read_text()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    if number == signal.SIGKILL:
        os.kill(second_of(process.pid), number)
    else:
        process.send_signal(number)
    code, _, err = ended(process)
    assert code == {signal.SIGTERM: 75, signal.SIGINT: 130, signal.SIGKILL: 75}[number], err
    assert "--run-dir run --resume" in err
    assert ("process 1 on this host was killed by SIGKILL" in err) is (number == signal.SIGKILL)
    done = len(lines_of(run))
    assert done < 1500
    code, _, err = ended(started(*train, "--resume", cwd=tmp_path))
    assert code == 0, err
    assert [line["step"] for line in lines_of(run)] == list(range(1, 1501))


def second_of(launcher: int) -> int:
    """Process id of the process with rank 1."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    assert len(children) == 2
    (found,) = (pid for pid in children if b"\0RANK=1\0" in Path(f"/proc/{pid}/environ").read_bytes())
    return int(found)
