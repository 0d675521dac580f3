"""Processes of a team that outlive a test: started once, they meet over gloo and then carry out one task after another.

Each test names a function of a file of its own and the arguments; every process runs it on the `Team` that it belongs
to, and the test gets what each returned. Nothing can hang: who does not answer is killed by its id.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import traceback
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

WATCHDOG_S = 600.0  # for the answer to one task: ends a hang, however slow the machine
GRACE_S = 5.0  # for the others, after one has failed
TIMEOUT_S = 600  # of the exchanges


class Processes:
    """`size` processes that train together.

    Args:
        size: how many.
        folder: for the file by which they meet, and what they say.
    """

    def __init__(self, size: int, folder: Path) -> None:
        self.size, self.folder, self._times = size, folder, 0
        self._members: list[tuple[subprocess.Popen[bytes], Connection]] = []

    def run(self, file: str, function: str, **arguments: Any) -> list[Any]:
        """What `function(team, **arguments)` of a Python file returns in each process, by rank.

        One alone is the process of the tests.
        """
        if self.size == 1:
            from dpdrun.training.process_group import ProcessGroup

            return [getattr(load(Path(file)), function)(ProcessGroup(), **arguments)]
        if any(process.poll() is not None for process, _ in self._members):
            self.close()  # ended by something from outside: the next task is not to suffer for it
        if not self._members:
            self._start()
        for _, pipe in self._members:
            pipe.send((file, function, arguments))
        answers, patience = [], WATCHDOG_S
        for rank, (_, pipe) in enumerate(self._members):
            kind, value = pipe.recv() if pipe.poll(patience) else ("silent", f"no answer in {patience:g} s")
            if kind != "done":
                patience = GRACE_S
            answers.append((kind, f"process {rank} of {self.size}, {function}: {value}" if kind != "done" else value))
        failed = [value for kind, value in answers if kind != "done"]
        if failed:
            self.close()
            raise AssertionError("\n".join(failed))
        return [value for _, value in answers]

    def said(self) -> str:
        """What they wrote to stdout and stderr so far."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("said-*")))

    def _start(self) -> None:
        self._times += 1
        store = self.folder / "a\nfolder #?" / f"store-{self._times}"  # in an address, another
        store.parent.mkdir(exist_ok=True)
        for rank in range(self.size):
            ours, theirs = Pipe()
            environment = os.environ | {
                "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(self.size),
                "OMP_NUM_THREADS": "1,2",  # of nested loops too, as OpenMP has it
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "GLOO_SOCKET_IFNAME": "lo",
                "DPDRUN_STORE": str(store), "DPDRUN_TIMEOUT_S": str(TIMEOUT_S),
                "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
            }  # fmt: skip
            with (self.folder / f"said-{rank}").open("ab") as said:
                process = subprocess.Popen(
                    [sys.executable, "-W", "error", __file__, str(theirs.fileno())],
                    env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                )  # fmt: skip
            theirs.close()
            self._members.append((process, ours))

    def close(self) -> None:
        """End them."""
        for _, pipe in self._members:
            pipe.close()  # the end of the pipe is the end of the process
        for process, _ in self._members:
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._members.clear()


def _member(pipe: Connection) -> None:
    """One of the processes: until the pipe ends."""
    from dpdrun.training.process_group import ProcessGroup

    with ProcessGroup.join() as team:
        while True:
            try:
                file, function, arguments = pipe.recv()
            except EOFError:
                return
            try:
                answer = "done", getattr(load(Path(file)), function)(team, **arguments)
            except BaseException:
                answer = "failed", traceback.format_exc()
            pipe.send(answer)


def load(file: Path) -> Any:
    """A Python file as a module."""
    name = f"tasks_{file.parent.name}_{file.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


if __name__ == "__main__":
    _member(Connection(int(sys.argv[1])))
    sys.stderr.flush()
    os._exit(0)  # taking torch down again takes seconds
