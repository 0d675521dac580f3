"""How processes find each other, without the others: on which device, by which network, and when nobody comes."""

from __future__ import annotations

import os

import pytest
import torch
import torch.distributed as dist

from dpdrun.distributed.launcher import TIMEOUT_VARIABLE
from dpdrun.errors import RunError
from dpdrun.training import process_group as teams
from dpdrun.training.process_group import ProcessGroup


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the second of two processes on this machine."""
    variables = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_PORT": "1"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)


def refuse(*args: object, **kwargs: object) -> None:
    raise RuntimeError(f"nobody is here by {os.environ['GLOO_SOCKET_IFNAME']}\nand more")


@pytest.mark.usefixtures("second")
def test_no_other_process_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TIMEOUT_VARIABLE, "7")
    monkeypatch.setattr(dist, "init_process_group", refuse)
    message = r"process 1 of 2 did not meet the others at 127\.0\.0\.1:1 within 7 s: nobody is here by lo"
    with pytest.raises(RunError, match=message), ProcessGroup.join():
        pass
    assert "GLOO_SOCKET_IFNAME" not in os.environ, "as the caller had it"


@pytest.mark.usefixtures("second")
def test_a_network_that_was_chosen_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "mine0")
    monkeypatch.setattr(dist, "init_process_group", refuse)
    with pytest.raises(RunError, match="by mine0"), ProcessGroup.join():
        pass
    assert os.environ["GLOO_SOCKET_IFNAME"] == "mine0"


@pytest.mark.usefixtures("second")
def test_there_is_one_process_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teams, "uses_gpu", lambda _device: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with (
        pytest.raises(RunError, match="2 processes on a host with 1 GPU: at most one per GPU is possible"),
        ProcessGroup.join(),
    ):
        pass


@pytest.mark.parametrize(
    "text",
    [
        "[/src/gloo/transport/tcp/unbound_buffer.cc:78] Timed out waiting 15000ms",
        "Got the following error when running the callback: RuntimeError: [/gloo/pair.cc:5] Timed out waiting 15000ms",
        "Timed out waiting 15000ms\nException raised from ...",
        "[/gloo/pair.cc:5] Timed out waiting 15000ms. This is typically caused by a remote worker hanging. GLHF!",
    ],
)
def test_the_message_of_a_failed_collective_omits_its_source_line(text: str) -> None:
    assert teams._first_line(RuntimeError(text)) == "Timed out waiting 15000ms"
