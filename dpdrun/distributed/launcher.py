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
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from dpdrun.distributed.signal_handlers import handling
from dpdrun.errors import EXIT_FINDINGS, EXIT_INTERRUPTED, EXIT_STOPPED, RunError

TIMEOUT_VARIABLE = "DPDRUN_TIMEOUT_S"
TIMEOUT_S = 600.0  # that one process waits for another: longer than whatever one does alone between two exchanges
NOTICE_S = 3.0  # from the end of one process to SIGTERM for the others: one that waits for nobody has not noticed
GRACE_S = 20.0  # to the end of the others, who save a checkpoint
POLL_S = 0.05
STORE_VARIABLE = "DPDRUN_STORE"  # a file by which the processes of one machine meet: unlike a port nobody can take it
LAUNCHER_VARIABLE = "DPDRUN_LAUNCHER"  # process id of the launcher
RANK_VARIABLE = "RANK"  # in the environment of every process that a launcher started
PROGRAM = (sys.executable, "-P", "-m", "dpdrun")  # -P: what lies in the working folder is not meant


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
        return rank_and_world_size()[1] if is_distributed() else self.size

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
        return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", STORE_VARIABLE: str(folder / "store")}


def rank_and_world_size() -> tuple[int, int]:
    """Rank of this process and number of all, as the launcher says that started it; (0, 1) without one.

    Raises:
        RunError: the environment says half of what a launcher says, or something else.
    """
    found = {name: os.environ.get(name, "") for name in ("WORLD_SIZE", RANK_VARIABLE, "MASTER_ADDR", "MASTER_PORT")}
    if found["WORLD_SIZE"] in ("", "1"):
        return 0, 1
    missing = [name for name, value in found.items() if not value]
    if missing:
        raise RunError(
            f"WORLD_SIZE is {found['WORLD_SIZE']}, but {', '.join(missing)} is not set; use --processes or a launcher"
        )
    rank, size = found[RANK_VARIABLE], found["WORLD_SIZE"]
    if not (rank.isdecimal() and size.isdecimal() and int(rank) < int(size)):
        raise RunError(f"RANK is {rank} and WORLD_SIZE {size}: expected a rank from 0, below the number of processes")
    return int(rank), int(size)


def is_distributed() -> bool:
    """Whether a launcher started this process, as one of several. Raises RunError as `place`."""
    return rank_and_world_size()[1] > 1


def is_silenced() -> bool:
    """Whether another process of the same run does the talking. Raises RunError as `place`."""
    return rank_and_world_size()[0] != 0


def launch(where: Hosts, arguments: Sequence[str]) -> int:
    """Run `dpdrun ARGUMENTS` in the processes of this host and wait for them.

    The first process has this one's output. What the others say is shown when one of them is the first that fails.

    Args:
        where: how many, and where they meet.
        arguments: of the command line, as each process is to see them.

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
        } | _path_of_ourselves()  # fmt: skip
        # Threads of several processes on the same cores wait for each other
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // where.processes)))
        if where.rank:
            print(f"host {where.rank} of {where.hosts}: {where.rendezvous} shows the run", flush=True)
        crew = _Workers(Path(folder))
        with handling({signal.SIGTERM: crew.take, signal.SIGINT: crew.take}):
            for local in range(where.processes):
                rank = where.rank * where.processes + local
                crew.start(
                    arguments, environment | {RANK_VARIABLE: str(rank), "LOCAL_RANK": str(local)}, talks=rank == 0
                )
            code = crew.wait()
        if where.rank and code:
            sys.stderr.write(f"host {where.rank} of {where.hosts}: the run ended with exit code {code}\n")
        return code


def _path_of_ourselves() -> dict[str, str]:
    """PYTHONPATH by which the processes find this package where it is not installed, as with `python cli.py`."""
    home = Path(__file__).parents[2]
    if home.name in ("site-packages", "dist-packages"):
        return {}  # they find it, and nothing there must come before the standard library
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([str(home), *([before] if before else [])])}


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


class _Workers:
    """The processes of this host.

    Args:
        folder: keeps what those say who have no voice.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self._signals: list[int] = []  # that came so far
        self._given_up: set[int] = set()

    def start(self, arguments: Sequence[str], environment: dict[str, str], *, talks: bool) -> None:
        with ExitStack() as held:
            out, err = None, None
            if not talks:
                out, err = subprocess.DEVNULL, held.enter_context(self._said(len(self._processes)).open("wb"))
            self._processes.append(
                subprocess.Popen(
                    [*PROGRAM, *arguments],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    start_new_session=True,  # Ctrl-C of the terminal comes here alone, and is passed on once
                )
            )
        for number in self._signals:  # came while it was not there to get them
            self._processes[-1].send_signal(number)

    def _said(self, index: int) -> Path:
        return self._folder / f"stderr-{index}"

    def take(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature is fixed
        """Pass a signal on to all."""
        self._signals.append(number)
        for process in self._processes:
            process.send_signal(number)  # of one that has ended, nothing happens

    def wait(self) -> int:
        """Until all have ended: when one fails, the others get time to notice and save, then they are killed.

        One that fails may do so while another computes alone for long, as before the first step or at the last score:
        so they are told.
        """
        ended: list[int] = []  # in the order of their end
        failed_at, told = float("inf"), False
        while len(ended) < len(self._processes):
            for index, process in enumerate(self._processes):
                if index not in ended and process.poll() is not None:
                    ended.append(index)
                    if process.returncode != 0:
                        failed_at = min(failed_at, time.monotonic())
            since = time.monotonic() - failed_at
            running = set(range(len(self._processes))).difference(ended)
            if since > NOTICE_S and not told:
                told = True
                for index in running:
                    self._processes[index].send_signal(signal.SIGTERM)
            if since > GRACE_S:
                self._given_up.update(running)
                for index in running:
                    self._processes[index].kill()
            time.sleep(POLL_S)
        failed = [index for index in ended if self._processes[index].returncode != 0]
        if not failed:
            return 0
        self._tell(failed)
        own = [self._code(index) for index in sorted(failed)]
        killed = {-signal.SIGTERM, -signal.SIGKILL}.intersection(own)  # while none of the others had to notice
        return next((code for code in own if code > 0), EXIT_STOPPED if killed else EXIT_FINDINGS)

    def _code(self, index: int) -> int:
        """Exit code of a process; a signal that was meant for the run may have ended it before it could listen."""
        code = self._processes[index].returncode
        meant = {-signal.SIGTERM: EXIT_STOPPED, -signal.SIGINT: EXIT_INTERRUPTED}
        return meant[code] if code in meant and -code in self._signals else code

    def _tell(self, failed: list[int]) -> None:
        """Show what the first that failed said, if it had no voice, and which were killed, and how."""
        said = self._said(failed[0])
        if said.is_file():
            sys.stderr.write(said.read_text(errors="replace"))
        for index in failed:
            code = self._processes[index].returncode
            name = f"process {index} on this host"
            if index in self._given_up:
                sys.stderr.write(f"error: {name} had not ended {GRACE_S:g} s after another failed, and was killed\n")
            elif code < 0 and -code in self._signals:
                sys.stderr.write(f"{name} was ended by {signal.Signals(-code).name} outside the training\n")
            elif code < 0:
                often = ", as the system does where memory runs out" if code == -signal.SIGKILL else ""
                sys.stderr.write(f"error: {name} was killed by {signal.Signals(-code).name}{often}\n")
