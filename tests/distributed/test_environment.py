"""What other launchers left behind, in words that Accelerate, mpirun and torchrun really use."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from dpdrun.commands import app
from dpdrun.distributed import environment
from dpdrun.distributed.environment import interface_to, resolve_hosts
from dpdrun.distributed.launcher import Hosts, rank_and_world_size
from dpdrun.errors import RunError

ONE = Hosts(1)
OF_ACCELERATE = {"ACCELERATE_MIXED_PRECISION": "no", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500"}
CONFIG = """\
compute_environment: LOCAL_MACHINE
distributed_type: MULTI_CPU
main_process_ip: 10.0.0.1
machine_rank: {rank}
mixed_precision: 'no'
num_machines: {hosts}
num_processes: 4
use_cpu: true
"""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """What `settle` makes of an `accelerate launch` with these options, which started this process alone."""

    def ask(*options: str) -> Hosts:
        command = ["python", "/bin/accelerate", "launch", *options, "cli.py", "train", "r.yaml", "--num_processes", "9"]
        monkeypatch.setattr(psutil.Process, "cmdline", lambda self: command)
        monkeypatch.setattr(sys, "argv", ["cli.py", "train", "r.yaml"])
        monkeypatch.setenv("HF_HOME", str(tmp_path))
        for name, value in OF_ACCELERATE.items():
            monkeypatch.setenv(name, value)
        return resolve_hosts(ONE)

    return ask


@pytest.mark.parametrize(
    "options", [["--num_processes", "2"], ["--cpu", "--num-processes=2"], ["--cpu", "--num_processes", "2", "--quiet"]]
)
def test_processes_that_accelerate_was_asked_for(options: list[str], asked: Any) -> None:
    assert asked(*options) == Hosts(2)


@pytest.mark.parametrize("given", [True, False], ids=["--config_file", "default"])
def test_a_multi_cpu_config_is_honoured(given: bool, asked: Any, tmp_path: Path) -> None:
    path = tmp_path / ("mine.yaml" if given else "accelerate/default_config.yaml")
    path.parent.mkdir(exist_ok=True)
    path.write_text(CONFIG.format(rank=0, hosts=1))
    options = ["--config_file", str(path)] if given else []
    assert asked(*options) == Hosts(4)
    assert asked(*options, "--num_processes", "2") == Hosts(2)  # the command line has the last word
    path.write_text(CONFIG.format(rank=1, hosts=2))
    assert asked(*options) == Hosts(2, 2, 1, "10.0.0.1:29500")
    path.write_text(CONFIG.format(rank=1, hosts=3))
    with pytest.raises(RunError, match="4 processes on 3 hosts"):
        asked(*options)


def test_without_a_number_it_is_asked_for(asked: Any) -> None:
    with pytest.raises(RunError, match="say it with --processes N"):
        asked("--cpu")


def test_accelerate_with_one_process_is_no_team(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    assert resolve_hosts(ONE) == ONE


def test_flags_come_before_what_accelerate_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OF_ACCELERATE.items():
        monkeypatch.setenv(name, value)
    assert resolve_hosts(Hosts(3)) == Hosts(3)


@pytest.mark.parametrize("names", [*zip(*environment.MPI.values(), strict=True)], ids=lambda names: names[0])
def test_the_words_of_mpirun(names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(names, "1212", strict=True):
        monkeypatch.setenv(name, value)
    assert resolve_hosts(ONE) == ONE
    assert rank_and_world_size() == (0, 1)  # a batch system that starts one task sets them too
    for name in environment.MPI:  # to be taken away again
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in OF_ACCELERATE.items():
        monkeypatch.setenv(name, value)
    assert resolve_hosts(ONE) == ONE
    assert rank_and_world_size() == (1, 2)


def test_flags_inside_a_launcher_are_refused() -> None:
    inside = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    result = CliRunner().invoke(app, ["train", "none.yaml", "--processes", "2"], env=inside)
    assert result.exit_code == 2
    assert "inside a launcher that has started 2 processes already" in " ".join(result.stderr.split())


def loopback() -> str:
    return next(
        name for name, each in psutil.net_if_addrs().items() if any(entry.address == "127.0.0.1" for entry in each)
    )


def test_the_interface_of_this_machine_alone() -> None:
    assert interface_to("127.0.0.1", alone=True) == loopback()
    assert interface_to("localhost", alone=True) == loopback()
    assert interface_to("no-such-host.invalid", alone=True) is None


def test_the_loopback_does_not_lead_to_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the first host's own name is an address of it."""
    entry = psutil.net_if_addrs()[loopback()][0]._replace(address="10.1.2.3", family=socket.AF_INET)
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"lo": psutil_lo, "eth7": [entry]})
    psutil_lo = [entry._replace(address="127.0.0.1")]
    ways = {"127.0.1.1": "127.0.0.1", environment.FAR_AWAY: "10.1.2.3"}
    monkeypatch.setattr(environment, "_own_address", ways.get)
    assert interface_to("127.0.1.1", alone=False) == "eth7"
    assert interface_to("127.0.1.1", alone=True) == "lo"
