"""The workers of this host: processes that are started together, watched, and ended together."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from dpdrun.distributed.cores import LIMIT_VARIABLE, usable_cores
from dpdrun.distributed.launcher import PROGRAM
from dpdrun.distributed.signal_handlers import STOPS, handling, name_of
from dpdrun.errors import EXIT_DONE, EXIT_STOPPED, RunError, StoppedError
from dpdrun.recipe.plugins import loaded_files
from dpdrun.run.files import unwritable
from dpdrun.sweep.folder import SweepFolder
from dpdrun.sweep.presence import OWNER_VARIABLE

GPUS_VARIABLE = "CUDA_VISIBLE_DEVICES"
STORAGE_VARIABLE = "DPDRUN_STORAGE"
POLL_S = 0.3
ENDING_S = 120.0  # for the step under way, the checkpoint and the end of the process
TAIL_BYTES = 4096
MOST_KILLED = 6  # in a row; of workers that are killed in a trial, the journal keeps count
Watch = Callable[[], None]


def gpus(device: str) -> list[str]:
    """Return the GPUs that workers may use, by the names of CUDA_VISIBLE_DEVICES; none where trials train on the CPU.

    Args:
        device: `train.device` of the recipe.
    """
    given = os.environ.get(GPUS_VARIABLE)
    if given is not None:
        found = [each.strip() for each in given.split(",") if each.strip() not in ("", "-1")]
    else:  # CUDA counts from 0, also in a container that has /dev/nvidia3 alone
        found = [str(index) for index, _ in enumerate(Path("/dev").glob("nvidia[0-9]*"))]
    if not found:
        return []
    from dpdrun.training.process_group import uses_gpu  # imports torch, so only where there are GPUs

    return found if uses_gpu(device) else []


def default_workers(device: str) -> int:
    """Return how many workers to start: one for each GPU, or for each usable core."""
    return len(gpus(device)) or usable_cores()


def described(count: int, device: str) -> str:
    """Describe the workers, as in `2 workers, one thread each`."""
    workers, cards = f"{count} worker{'s' * (count > 1)}", gpus(device)
    if cards:
        used, most = min(count, len(cards)), -(-count // len(cards))
        shared = f", up to {most} on one" if most > 1 else ""
        return f"{workers} on {used} GPU{'s' * (used > 1)}{shared}"
    limit = os.environ.get(LIMIT_VARIABLE, "1")
    return f"{workers}, {'one thread' if limit == '1' else f'up to {limit} threads'}{' each' * (count > 1)}"


def _plugins() -> list[str]:
    """Return the flags that load the plug-ins of this process."""
    return [word for file in loaded_files() for word in ("--plugin", str(file))]


class Pool:
    """Workers of one sweep on this host.

    Args:
        folder: of the sweep.
        count: of the workers.
        device: `train.device` of the recipe.
    """

    def __init__(self, folder: SweepFolder, count: int, device: str) -> None:
        self._folder, self._count, self._cards = folder, count, gpus(device)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._claimed, self._killed = 0.0, 0

    def _start(self, index: int) -> subprocess.Popen[bytes]:
        environment = {**os.environ, OWNER_VARIABLE: str(os.getpid())}
        environment.setdefault(LIMIT_VARIABLE, "1")
        if self._folder.storage is not None:
            environment[STORAGE_VARIABLE] = self._folder.storage  # not as an argument: it may have a password
        if self._cards:
            environment[GPUS_VARIABLE] = self._cards[index % len(self._cards)]
        log = self._log(index)
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as out:
                return subprocess.Popen(
                    [*PROGRAM, "sweep", "run", str(self._folder.path), "--worker", *_plugins()], env=environment,
                    stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                    start_new_session=True,  # Ctrl-C of the terminal reaches the sweep alone, which ends its workers
                )  # fmt: skip
        except OSError as error:
            raise unwritable(log, error) from error

    def _log(self, index: int) -> Path:
        log: Path = self._folder.logs / f"worker-{index + 1}.log"
        return log

    def run(self, watch: Watch) -> None:
        """Start the workers and wait until all have ended; one that was killed is started again.

        Args:
            watch: called several times a second.

        Raises:
            StoppedError, KeyboardInterrupt: SIGTERM or Ctrl-C; all workers have ended.
            RunError: a worker has failed; the message is its own. Or none of them survives its start.
        """
        try:
            with _stopping():
                for index in range(self._count):
                    self._processes.append(self._start(index))
                while sum(self._is_done(index) for index in range(self._count)) < self._count:
                    watch()
                    time.sleep(POLL_S)
        finally:
            self._end()

    def _is_done(self, index: int) -> bool:
        """Return whether a worker has ended well; starts it again if it was killed. Raises as `run`."""
        code = self._processes[index].poll()
        if code == EXIT_STOPPED:
            raise StoppedError(f"worker {index + 1} was stopped")
        if code is not None and code > 0:
            raise RunError(f"worker {index + 1} has ended: {_last_message(self._log(index))}")
        if code is not None and code < 0:
            self._count_killed(index, -code)
            self._processes[index] = self._start(index)
        return code == EXIT_DONE

    def _count_killed(self, index: int, number: int) -> None:
        """Raise RunError where workers are killed again and again before any of them has claimed a trial."""
        claimed = max((each.since for each in self._folder.journal.read().trials.values()), default=0.0)
        self._killed = self._killed + 1 if claimed == self._claimed else 1
        self._claimed = claimed
        if self._killed >= MOST_KILLED:
            raise RunError(
                f"{self._killed} workers were killed before any had claimed a trial, the last by {name_of(number)}; is "
                f"there enough memory? Its log: {self._log(index)}"
            )

    def _end(self) -> None:
        """End the workers: each writes a checkpoint and releases its trial."""
        alive = [each for each in self._processes if each.poll() is None]
        for each in alive:
            with suppress(ProcessLookupError):
                each.send_signal(signal.SIGTERM)
        limit = time.monotonic() + ENDING_S
        for each in alive:
            try:
                each.wait(max(0.1, limit - time.monotonic()))
            except subprocess.TimeoutExpired:
                each.kill()
                each.wait()


@contextmanager
def _stopping() -> Iterator[None]:
    """Raise StoppedError at SIGTERM and SIGHUP; Ctrl-C raises KeyboardInterrupt as always."""

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature is fixed
        raise StoppedError(f"stopped by {name_of(number)}")

    with handling(dict.fromkeys(STOPS, stop)):
        yield


def _last_message(log: Path) -> str:
    """Return the last message in the log of a worker."""
    with suppress(OSError):
        text = log.read_bytes()[-TAIL_BYTES:].decode(errors="replace").strip()
        return (text.rpartition("error:")[2] or text).strip() or f"see {log}"
    return f"see {log}"
