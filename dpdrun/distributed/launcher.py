"""dpdrun's launcher: starts the processes of a run.

Each process is the same command again, with the environment that torchrun sets (`RANK`, `LOCAL_RANK`, `WORLD_SIZE`,
`LOCAL_WORLD_SIZE`, `MASTER_ADDR`, `MASTER_PORT`); torchrun and `accelerate launch` can be used instead. The
launcher exists because of how a run ends: each process receives a signal once and has time to write a checkpoint, and
the exit code of the run is the exit code of the command. Those launchers always return 1 after a failure
(docs/decisions/0006-a-launcher.md). It imports no heavy module.
"""

from __future__ import annotations

import ctypes
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from dpdrun.distributed.cores import LIMIT_VARIABLE, usable_cores
from dpdrun.distributed.signal_handlers import EXIT_CODES, RANK_VARIABLE, handling
from dpdrun.errors import EXIT_STOPPED, RunError

TIMEOUT_VARIABLE = "DPDRUN_TIMEOUT_S"
LONGEST_S = 86_400.0 * 365
TIMEOUT_S = 600.0  # longest wait for another process: longer than any work that one does alone between two collectives
NOTICE_S = 3.0  # from the failure of one process to SIGTERM for the others, which may not have noticed
GRACE_S = 20.0  # until the others, which save a checkpoint, are killed
POLL_S = 0.05
SIGKILL = 9  # signal.SIGKILL, which Windows does not have
STORE_VARIABLE = "DPDRUN_STORE"  # file for the rendezvous on one machine: unlike a port, it cannot be in use
LAUNCHER_VARIABLE = "DPDRUN_LAUNCHER"  # process id of the launcher

PROGRAM = (sys.executable, "-P", "-m", "dpdrun")  # -P: ignore modules in the working folder


@dataclass(frozen=True)
class Hosts:
    """The hosts and processes of a run.

    Attributes:
        processes: per host.
        hosts: number of hosts.
        rank: of this host; host 0 holds the run folder.
        rendezvous: HOST:PORT of host 0; "" = this machine alone.
    """

    processes: int
    hosts: int = 1
    rank: int = 0
    rendezvous: str = ""

    @property
    def size(self) -> int:
        """Number of processes over all hosts."""
        return self.processes * self.hosts

    @property
    def team_size(self) -> int:
        """`size`, or the world size announced by the launcher that started this process."""
        return rank_and_world_size()[1] if is_distributed() else self.size

    def check(self) -> None:
        """Raise RunError for an impossible combination."""
        if not 0 <= self.rank < self.hosts:
            raise RunError(f"--rank {self.rank}: with --hosts {self.hosts} the ranks are 0 to {self.hosts - 1}")
        if self.hosts > 1 and not self.rendezvous:
            raise RunError(
                f"--hosts {self.hosts} needs --rendezvous HOST:PORT: the address of the host with --rank 0, "
                "and a free port on it"
            )
        if self.rendezvous:
            self.address()

    def address(self) -> tuple[str, int]:
        """Return host and port of `rendezvous`. Raises RunError."""
        host, colon, port = self.rendezvous.rpartition(":")
        if not (colon and host and 0 < (whole(port) or 0) < 65536):
            raise RunError(f"--rendezvous {self.rendezvous}: expected HOST:PORT, such as 10.0.0.1:29500")
        return host.strip("[]"), int(port)

    def meeting(self, folder: Path) -> dict[str, str]:
        """Return the rendezvous as environment variables; on one machine it is a file in `folder`."""
        if self.rendezvous:
            host, port = self.address()
            return {"MASTER_ADDR": host, "MASTER_PORT": str(port)}
        return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", STORE_VARIABLE: str(folder / "store")}


def rank_and_world_size() -> tuple[int, int]:
    """Return the rank of this process and the world size, from its launcher's environment; (0, 1) without a launcher.

    Raises:
        RunError: the environment is incomplete or invalid.
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
    own, count, port = whole(rank), whole(size), whole(found["MASTER_PORT"])
    if own is None or count is None or own >= count:
        raise RunError(f"RANK is {rank} and WORLD_SIZE {size}: expected a rank from 0, below the number of processes")
    if port is None or port > 65535:
        raise RunError(f"MASTER_PORT is {found['MASTER_PORT']}: expected the number of a port")
    return own, count


def whole(text: str) -> int | None:
    """Return the whole number from 0 of a variable or a flag; None where it is something else, or absurdly large."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def whole_of(name: str, default: int) -> int:
    """Return a whole number of the environment. Raises RunError where the variable holds something else."""
    text = os.environ.get(name)
    value = default if text is None else whole(text)
    if value is None:
        raise RunError(f"{name} is {text}: expected a whole number from 0; unset it, or start with --processes")
    return value


def timeout_s(text: str | None = None, name: str = "--timeout") -> float:
    """Return the longest wait for another process [s], of the flag or else of the environment. Raises RunError."""
    if text is None:
        text, name = os.environ.get(TIMEOUT_VARIABLE, f"{TIMEOUT_S:g}"), TIMEOUT_VARIABLE
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= LONGEST_S:
        raise RunError(f"{name} is {text}: expected seconds, more than 0 and at most {LONGEST_S:.0f}")
    return value


def is_distributed() -> bool:
    """Return whether a launcher started this process as one of several. Raises RunError as `rank_and_world_size`."""
    return rank_and_world_size()[1] > 1


def is_silenced() -> bool:
    """Return whether this process is not rank 0, the only one that prints. Raises RunError as `rank_and_world_size`."""
    return rank_and_world_size()[0] != 0


def launch(where: Hosts, arguments: Sequence[str]) -> int:
    """Run `dpdrun ARGUMENTS` in the processes of this host and wait for them.

    Rank 0 inherits stdout and stderr. The stderr of another rank is printed if that rank is the first to fail.

    Args:
        where: the number of processes and their rendezvous.
        arguments: command line arguments of each process.

    Returns:
        The exit code of the run: of the lowest rank that exited by itself, else the code of the signal that ended one.

    Raises:
        RunError: as `Hosts.check`.
    """
    where.check()
    with tempfile.TemporaryDirectory(prefix="dpdrun-") as folder:
        environment = os.environ | where.meeting(Path(folder)) | {
            "WORLD_SIZE": str(where.size), "LOCAL_WORLD_SIZE": str(where.processes),
            LAUNCHER_VARIABLE: str(os.getpid()),
        } | _path_of_ourselves()  # fmt: skip
        # threads of several processes on the same cores wait for each other
        environment.setdefault(LIMIT_VARIABLE, str(max(1, usable_cores() // where.processes)))
        if where.rank:
            print(f"host {where.rank} of {where.hosts}: the output is on {where.rendezvous}", flush=True)
        workers = _Workers(Path(folder), where.processes)
        with handling(dict.fromkeys(EXIT_CODES, workers.forward)):
            for local in range(where.processes):
                rank = where.rank * where.processes + local
                own = {RANK_VARIABLE: str(rank), "LOCAL_RANK": str(local)}
                workers.start(arguments, environment | own, inherits_stdio=rank == 0)
            code = workers.wait()
        if where.rank and code:
            sys.stderr.write(f"host {where.rank} of {where.hosts}: the run ended with exit code {code}\n")
        return code


def _path_of_ourselves() -> dict[str, str]:
    """Return the PYTHONPATH with which workers find this package if it is not installed, as with `python cli.py`."""
    home = Path(__file__).parents[2]
    if home.name in ("site-packages", "dist-packages"):
        return {}  # importable as it is; nothing in there may come before the standard library
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([str(home), *([before] if before else [])])}


def follow_launcher() -> None:
    """Ask for SIGTERM when the launcher is killed and can forward nothing. Linux only."""
    launcher = os.environ.get(LAUNCHER_VARIABLE)
    if launcher is None or sys.platform != "linux":
        return
    PR_SET_PDEATHSIG = 1  # linux/prctl.h
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != whole_of(LAUNCHER_VARIABLE, 0):  # the launcher has already been killed
        os.kill(os.getpid(), signal.SIGTERM)


class _Workers:
    """The worker processes of this host.

    Args:
        folder: holds the stderr of ranks other than 0.
        count: number of processes that will be started.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self._signals: set[int] = set()  # received so far
        self._pending = [deque[int]() for _ in range(count)]  # signals not yet forwarded, by worker
        self._killed: set[int] = set()

    def start(self, arguments: Sequence[str], environment: dict[str, str], *, inherits_stdio: bool) -> None:
        """Start the next worker and forward what arrived before it existed."""
        with ExitStack() as held:
            out, err = None, None
            if not inherits_stdio:
                out, err = subprocess.DEVNULL, held.enter_context(self._stderr_path(len(self._processes)).open("wb"))
            self._processes.append(
                subprocess.Popen(
                    [*PROGRAM, *arguments],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    start_new_session=True,  # Ctrl-C of the terminal reaches the launcher alone, and is forwarded once
                )
            )
        self._deliver(len(self._processes) - 1)

    def _stderr_path(self, index: int) -> Path:
        return self._folder / f"stderr-{index}"

    def forward(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature is fixed
        """Forward a signal to all workers."""
        self._signals.add(number)
        for pending in self._pending:
            pending.append(number)
        for index in range(len(self._processes)):
            self._deliver(index)

    def _deliver(self, index: int) -> None:
        """Send a worker its pending signals, each once: `popleft` is atomic, and a handler may interrupt this loop."""
        with suppress(IndexError):
            while True:
                self._processes[index].send_signal(self._pending[index].popleft())  # no effect after its end

    def wait(self) -> int:
        """Wait for all workers and return the exit code; after a failure the others get time to save, then are killed.

        A worker may fail while another computes alone for a while, before the first step or at the last score, and
        would not notice: so the others get SIGTERM.
        """
        ended: list[int] = []  # in the order of their end
        failed_at, notified = float("inf"), False
        while len(ended) < len(self._processes):
            for index, process in enumerate(self._processes):
                if index not in ended and process.poll() is not None:
                    ended.append(index)
                    if process.returncode != 0:
                        failed_at = min(failed_at, time.monotonic())
            since = time.monotonic() - failed_at
            running = set(range(len(self._processes))).difference(ended)
            if since > NOTICE_S and not notified:
                notified = True
                for index in running:
                    self._processes[index].send_signal(signal.SIGTERM)
            if since > GRACE_S:
                self._killed.update(running)
                for index in running:
                    self._processes[index].kill()
            time.sleep(POLL_S)
        failed = [index for index in ended if self._processes[index].returncode != 0]
        if not failed:
            return 0
        self._report(failed)
        own = [self._code(index) for index in sorted(failed)]
        return next((code for code in own if code > 0), EXIT_STOPPED)  # all were killed, or crashed in a library

    def _code(self, index: int) -> int:
        """Return a worker's exit code; a signal sent to the run may have ended it before its handler was installed."""
        code = self._processes[index].returncode
        return EXIT_CODES[signal.Signals(-code)] if -code in self._signals and -code in EXIT_CODES else code

    def _report(self, failed: list[int]) -> None:
        """Print the first failed rank's stderr and how each rank ended."""
        stderr = self._stderr_path(failed[0])
        if stderr.is_file():
            sys.stderr.write(stderr.read_text(errors="replace"))
        for index in failed:
            code = self._processes[index].returncode
            name = f"process {index} on this host"
            if index in self._killed:
                sys.stderr.write(
                    f"error: {name} was still running {GRACE_S:g} s after another failed, and was killed\n"
                )
            elif code < 0 and -code in self._signals:
                sys.stderr.write(f"{name} was ended by {signal.Signals(-code).name} outside the training\n")
            elif code < 0:
                often = ", as the system does when memory runs out" if code == -SIGKILL else ""
                sys.stderr.write(f"error: {name} was killed by {signal.Signals(-code).name}{often}\n")
