"""Environments of other launchers, with the variables that Accelerate, mpirun and torchrun set."""

from __future__ import annotations

import os
import socket

import psutil
import pytest
from typer.testing import CliRunner

from dpdrun.commands import app
from dpdrun.distributed import environment
from dpdrun.distributed.environment import environment_restored, interface_to, resolve_hosts
from dpdrun.distributed.launcher import Hosts, rank_and_world_size
from dpdrun.errors import RunError

ONE = Hosts(1)
FROM_ACCELERATE = {"ACCELERATE_MIXED_PRECISION": "no", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500"}


def test_accelerate_on_cpus_points_to_our_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in FROM_ACCELERATE.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RunError, match=r"starts one process on CPUs.*--processes N"):
        resolve_hosts(ONE)


def test_accelerate_with_one_process_needs_no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    assert resolve_hosts(ONE) == ONE


def test_flags_take_precedence_over_accelerates(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in FROM_ACCELERATE.items():
        monkeypatch.setenv(name, value)
    assert resolve_hosts(Hosts(3)) == Hosts(3)


@pytest.mark.parametrize("names", [*zip(*environment.MPI.values(), strict=True)], ids=lambda names: names[0])
def test_the_words_of_mpirun(names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(names, "1212", strict=True):
        monkeypatch.setenv(name, value)
    assert resolve_hosts(ONE) == ONE
    assert rank_and_world_size() == (0, 1)  # a batch system that starts one task sets them too
    for name in environment.MPI:  # removed by monkeypatch afterwards
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in FROM_ACCELERATE.items():
        monkeypatch.setenv(name, value)
    assert resolve_hosts(ONE) == ONE
    assert rank_and_world_size() == (1, 2)


def test_flags_inside_a_launcher_are_refused() -> None:
    inside = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    result = CliRunner().invoke(app, ["train", "none.yaml", "--processes", "2"], env=inside)
    assert result.exit_code == 2
    assert "inside a launcher that has already started 2 processes" in " ".join(result.stderr.split())


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


def test_the_environment_is_restored_and_defaults_replace_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.delenv("MLFLOW_LOGGING_LEVEL", raising=False)
    with environment_restored("LOCAL_RANK", MLFLOW_TRACKING_URI="here", MLFLOW_LOGGING_LEVEL="WARNING"):
        values = os.environ["MLFLOW_TRACKING_URI"], os.environ["MLFLOW_LOGGING_LEVEL"], os.environ.pop("LOCAL_RANK")
    assert values == ("http://elsewhere", "WARNING", "0")
    assert (os.environ["MLFLOW_TRACKING_URI"], os.environ["LOCAL_RANK"]) == ("http://elsewhere", "0")
    assert "MLFLOW_LOGGING_LEVEL" not in os.environ
