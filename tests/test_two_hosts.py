"""Two hosts as two network namespaces of Linux with their own addresses: they train together, and lose each other.

Nothing leaves the namespaces, which know no other network than the cable between them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands_run import DPDRUN, ended, lines_of, same_frames, same_steps, small_recipe, started
from tests.postgres import postgres

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's"),
    pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root can make network namespaces"),
    pytest.mark.skipif(shutil.which("ip") is None, reason="needs the ip command (iproute2)"),
]

FIRST, SECOND = "10.87.0.1", "10.87.0.2"
MEETING = f"{FIRST}:29500"
TIMEOUT_S = 15


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


@pytest.fixture
def hosts() -> Iterator[tuple[str, str]]:
    """Two namespaces, a cable between them: interface `cable` in each."""
    names = tuple(f"dpdrun-{os.getpid()}-{index}" for index in (0, 1))
    probe = subprocess.run(["ip", "netns", "add", names[0]], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"no network namespaces here: {probe.stderr.strip()}")
    try:
        ip("netns", "add", names[1])
        ip("-n", names[0], "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", names[1])
        for name, address in zip(names, (FIRST, SECOND), strict=True):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "cable")
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", "cable", "up")
        yield names[0], names[1]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def both(hosts: tuple[str, str], folder: Path, *more: str) -> list[subprocess.Popen[str]]:
    """The two launchers, each in its namespace and its own working folder."""
    processes = []
    for rank, host in enumerate(hosts):
        own = folder / f"host-{rank}"
        own.mkdir()
        command = ("ip", "netns", "exec", host, *DPDRUN, "train", folder / "small.yaml", "--run-dir", "run")
        where = ("--hosts", "2", "--rank", rank, "--rendezvous", MEETING, "--timeout", TIMEOUT_S)
        processes.append(started(*command, *where, *more, cwd=own))
    return processes


def alone(folder: Path, run: Path) -> None:
    """The same recipe in one process."""
    code, _, err = ended(started(*DPDRUN, "train", folder / "small.yaml", "--run-dir", run, cwd=folder))
    assert code == 0, err


def test_two_hosts_train_the_run_of_one(hosts: tuple[str, str], tmp_path: Path) -> None:
    small_recipe(tmp_path, steps=40, every=10)
    (code, out, err), (other, out_2, err_2) = [ended(process) for process in both(hosts, tmp_path)]
    assert (code, other) == (0, 0), err + err_2
    assert out.count("transformer of ") == 1
    assert out_2 == f"host 1 of 2: the output is on {MEETING}\n"
    run = tmp_path / "host-0" / "run"
    assert list((tmp_path / "host-1").iterdir()) == []  # the run folder is on the first host alone
    assert json.loads((run / "report.json").read_text())["processes"] == 2
    alone(tmp_path, tmp_path / "alone")
    same_steps(run, tmp_path / "alone")


def test_a_host_that_is_cut_off_leaves_a_run_that_can_resume(hosts: tuple[str, str], tmp_path: Path) -> None:
    small_recipe(tmp_path, steps=1500, every=10)
    run = tmp_path / "host-0" / "run"
    metrics = run / "metrics.jsonl"
    first, second = both(hosts, tmp_path)
    while not (metrics.is_file() and '"eval"' in metrics.read_text()):
        assert first.poll() is None, first.communicate()
        time.sleep(0.02)
    ip("-n", hosts[1], "link", "set", "cable", "down")
    (code, _, err), (other, _, err_2) = ended(first), ended(second)
    assert (code, other) == (75, 75), err + err_2
    for rank, text in enumerate((err, err_2)):
        assert f"process {rank} of 2 on " in text
        assert f"lost contact with the others: Timed out waiting {TIMEOUT_S}000ms" in text
        assert "Traceback" not in text
    assert "  dpdrun train run/recipe.yaml --run-dir run --resume" in err

    cut = lines_of(run)[-1]["step"]
    assert 10 <= cut < 1500
    assert f"step {cut} of 1500 is saved; continue with:" in err
    resume = started(*DPDRUN, "train", "run/recipe.yaml", "--run-dir", "run", "--resume", cwd=tmp_path / "host-0")
    code, _, err = ended(resume)
    assert code == 0, err
    alone(tmp_path, tmp_path / "alone")
    same_frames(run, tmp_path / "alone")
    assert json.loads((run / "audit.json").read_text())["agrees"] is True


def test_a_worker_on_a_lost_host_gives_its_trial_back(hosts: tuple[str, str], tmp_path: Path) -> None:
    """A sweep with its journal in a PostgreSQL on the first host; the cable is cut while both hosts train.

    A third worker, on the first host, has nothing to do until then.
    """
    words = (*DPDRUN, "sweep", "small.yaml", "--over", "model.d_model=8", "--seeds", 2, "--run-dir", "sweep",
             "--worker")  # fmt: skip
    left, right = (tmp_path / name for name in ("left", "right"))
    for folder in (left, right):
        folder.mkdir()
        small_recipe(folder, steps=1000, every=500)
    with postgres(FIRST, namespace=hosts[0]) as server:
        workers = []
        for folder, host in ((left, hosts[0]), (right, hosts[1]), (left, hosts[0])):
            command = ("ip", "netns", "exec", host, *words, "--storage", server)
            workers.append(started(*command, cwd=folder))
            while not list(folder.glob("sweep/trials/*/metrics.jsonl")):
                assert workers[-1].poll() is None, workers[-1].communicate()
                time.sleep(0.05)
        (lost,) = (right / "sweep" / "trials").iterdir()
        ip("-n", hosts[1], "link", "set", "cable", "down")
        cut, other = time.monotonic(), left / "sweep" / "trials" / lost.name
        while not other.exists():
            assert workers[2].poll() is None, workers[2].communicate()
            time.sleep(0.1)
        print(f"the other host has the trial {time.monotonic() - cut:.0f} s after the cable was cut")
        (code, _, err), (code_2, _, err_2), (code_3, _, err_3) = (ended(each) for each in workers)
        assert (code, code_3) == (0, 0), err + err_3
        show = ("ip", "netns", "exec", hosts[0], *DPDRUN, "sweep", "show", "sweep", "--storage", server)
        shown = json.loads(ended(started(*show, "--format", "json", cwd=left))[1])
    assert code_2 == 2, err_2
    assert f"error: --storage postgresql+psycopg://postgres@{FIRST}" in err_2
    assert "Traceback" not in err_2
    assert shown["trials"]["finished"] == 2
    models = [(trial / "model.safetensors").read_bytes() for trial in (lost, other)]
    assert models[0] == models[1], "the lost host finished it, too late, to the same bits"
