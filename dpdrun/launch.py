"""Several processes for one run: dpdrun's own launcher.

Each process is the same command again, with the environment that torchrun sets (`RANK`, `LOCAL_RANK`, `WORLD_SIZE`,
`LOCAL_WORLD_SIZE`, `MASTER_ADDR`, `MASTER_PORT`); torchrun and `accelerate launch` work in its place. It is here
because of how a run ends: a signal goes once to every process, which then have the time that a checkpoint takes, and
the exit code of the run is the exit code of the command. Those launchers return 1 for whatever happened
(docs/decisions/0006-a-launcher.md). It loads nothing heavy.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

from dpdrun.errors import EXIT_FINDINGS, RunError

TIMEOUT_VARIABLE = "DPDRUN_TIMEOUT_S"
TIMEOUT_S = 600.0  # that one process waits for another: longer than whatever one does alone between two exchanges
GRACE_S = 20.0  # from the end of one process to the end of the others, who save a checkpoint
POLL_S = 0.05
STORE_VARIABLE = "DPDRUN_STORE"  # a file by which the processes of one machine meet: unlike a port nobody can take it
LAUNCHER_VARIABLE = "DPDRUN_LAUNCHER"  # process id of the launcher
LOOPBACK, LOOPBACK_INTERFACE = "127.0.0.1", "lo0" if sys.platform == "darwin" else "lo"
IN_A_TEAM = "RANK"  # in the environment of every process that a launcher started


@dataclass(frozen=True)
class Hosts:
    """Where the processes run.

    Attributes:
        processes: on each host.
        hosts: how many.
        rank: of this host, 0 = the first, where the run folder is.
        rendezvous: HOST:PORT of the first, where all meet; "" = this machine alone.
    """

    processes: int
    hosts: int = 1
    rank: int = 0
    rendezvous: str = ""

    @property
    def size(self) -> int:
        """Processes over all hosts."""
        return self.processes * self.hosts

    @property
    def team_size(self) -> int:
        """`size`, or what the launcher says that started this process."""
        return int(os.environ["WORLD_SIZE"]) if in_a_team() else self.size

    def check(self) -> None:
        """Refuse what cannot be meant. Raises RunError."""
        if not 0 <= self.rank < self.hosts:
            raise RunError(f"--rank {self.rank}: of --hosts {self.hosts}, the ranks are 0 to {self.hosts - 1}")
        if self.hosts > 1 and not self.rendezvous:
            raise RunError(
                f"--hosts {self.hosts} needs --rendezvous HOST:PORT: the address of the host with --rank 0, "
                "and a free port there"
            )
        if self.rendezvous:
            self.address()

    def address(self) -> tuple[str, int]:
        """Host and port of `rendezvous`. Raises RunError."""
        host, colon, port = self.rendezvous.rpartition(":")
        if not (colon and host and port.isdigit() and 0 < int(port) < 65536):
            raise RunError(f"--rendezvous {self.rendezvous}: expected HOST:PORT, such as 10.0.0.1:29500")
        return host.strip("[]"), int(port)

    def meeting(self, folder: Path) -> dict[str, str]:
        """What the environment says about where to meet; one machine meets by a file in `folder`."""
        if self.rendezvous:
            host, port = self.address()
            return {"MASTER_ADDR": host, "MASTER_PORT": str(port)}
        interface = {} if "GLOO_SOCKET_IFNAME" in os.environ else {"GLOO_SOCKET_IFNAME": LOOPBACK_INTERFACE}
        return {"MASTER_ADDR": LOOPBACK, "MASTER_PORT": "0", STORE_VARIABLE: str(folder / "store"), **interface}


def in_a_team() -> bool:
    """Whether a launcher started this process, as one of several."""
    return IN_A_TEAM in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_quiet() -> bool:
    """Whether another process of the same run does the talking."""
    return in_a_team() and os.environ[IN_A_TEAM] != "0"


def launch(where: Hosts, arguments: Sequence[str], *, timeout_s: float | None = None) -> int:
    """Run `dpdrun ARGUMENTS` in the processes of this host and wait for them.

    The first process has this one's output. What the others say is shown when one of them is the first that fails.

    Args:
        where: how many, and where they meet.
        arguments: of the command line, as each process is to see them.
        timeout_s: that one process waits for another [s].

    Returns:
        The exit code of the run: that of the first process where it has one of its own, else of the first that failed.

    Raises:
        RunError: as `Hosts.check`.
    """
    where.check()
    with tempfile.TemporaryDirectory(prefix="dpdrun-") as folder:
        environment = os.environ | where.meeting(Path(folder)) | {
            "WORLD_SIZE": str(where.size), "LOCAL_WORLD_SIZE": str(where.processes),
            LAUNCHER_VARIABLE: str(os.getpid()),
        }  # fmt: skip
        if timeout_s is not None:
            environment[TIMEOUT_VARIABLE] = f"{timeout_s:g}"
        # Threads of several processes on the same cores wait for each other
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // where.processes)))
        crew = _Crew()
        with crew.forwarding():
            for local in range(where.processes):
                rank = where.rank * where.processes + local
                crew.start(arguments, environment | {IN_A_TEAM: str(rank), "LOCAL_RANK": str(local)}, talks=rank == 0)
            return crew.wait()


def follow_launcher() -> None:
    """Get SIGTERM when the launcher is killed, which then cannot pass anything on. Only Linux can do that."""
    launcher = os.environ.get(LAUNCHER_VARIABLE)
    if launcher is None or sys.platform != "linux":
        return
    PR_SET_PDEATHSIG = 1  # linux/prctl.h
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(launcher):  # it was killed before
        os.kill(os.getpid(), signal.SIGTERM)


class _Crew:
    """The processes of this host."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self._said: list[IO[bytes] | None] = []
        self._signals: list[int] = []

    def start(self, arguments: Sequence[str], environment: dict[str, str], *, talks: bool) -> None:
        said = None if talks else tempfile.TemporaryFile()  # noqa: SIM115 - read when all have ended
        self._said.append(said)
        self._processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "dpdrun", *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=None if talks else subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,  # Ctrl-C of the terminal comes here alone, and is passed on once
            )
        )

    def forwarding(self) -> _Forwarding:
        return _Forwarding(self._forward)

    def _forward(self, number: int) -> None:
        for process in self._processes:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    process.send_signal(number)

    def wait(self) -> int:
        """Until all have ended: when one fails, the others get time to notice and save, then they are killed."""
        ended: list[int] = []  # in the order of their end
        deadline = float("inf")
        while len(ended) < len(self._processes):
            for index, process in enumerate(self._processes):
                if index not in ended and process.poll() is not None:
                    ended.append(index)
                    if process.returncode != 0:
                        deadline = min(deadline, time.monotonic() + GRACE_S)
            if time.monotonic() > deadline:
                self._forward(signal.SIGKILL)
            time.sleep(POLL_S)
        failed = [index for index in ended if self._processes[index].returncode != 0]
        if not failed:
            return 0
        self._tell(failed[0])
        own = [self._processes[index].returncode for index in sorted(failed)]
        return next((code for code in own if code > 0), EXIT_FINDINGS)

    def _tell(self, index: int) -> None:
        """Show what a process said that had no voice, and how it was killed."""
        said, code = self._said[index], self._processes[index].returncode
        if said is not None:
            said.seek(0)
            sys.stderr.write(said.read().decode(errors="replace"))
        if code < 0:
            name = signal.Signals(-code).name
            sys.stderr.write(f"error: process {index} on this host was killed by {name}\n")


class _Forwarding:
    """SIGTERM and SIGINT go to the processes, while it lasts."""

    def __init__(self, forward: Any) -> None:
        self._forward = forward
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                self._before[number] = signal.signal(number, self._take)

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature is fixed
        self._forward(number)
