"""Processes for the tests of how runs end: `dpdrun ARGUMENTS`, started in a moment, with faults at chosen places.

Run as a program this is a server. It has everything imported, forks a process for each order that it reads, and says
how it ended; so a process costs a fraction of a second. A fault is a signal, a kill or a NaN at the n-th call of a
function: what a signal meets is decided by the test, not by the clock.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
import traceback
from typing import Any

WATCHDOG_S = 600.0  # a process that is still there then hangs, however slow the machine
PRELOADED = (
    "dpdrun.commands", "dpdrun.training.job", "dpdrun.diagnosis.diagnose", "dpdrun.report.console",
    "dpdrun.report.advice", "dpdrun.report.plan", "torch._dynamo",  # that an optimizer imports
)  # fmt: skip


def lay(fault: dict[str, Any]) -> None:
    """Put a fault at the `call`-th call of `place`: a signal to this process, or "nan" for what it returns."""
    names = fault["place"].split(".")
    module = next(m for n in range(len(names), 0, -1) if (m := _module(".".join(names[:n]))))
    owner: Any = module
    *inner, name = fault["place"].removeprefix(module.__name__ + ".").split(".")
    for each in inner:
        owner = getattr(owner, each)
    original, left = getattr(owner, name), [fault["call"]]

    def faulty(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] == 0 and fault["what"] != "nan":
            os.kill(os.getpid(), fault["what"])
        value = original(*args, **kwargs)
        return value * float("nan") if left[0] == 0 and fault["what"] == "nan" else value

    setattr(owner, name, faulty)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None


def work(order: dict[str, Any]) -> None:
    """What a forked process does; does not return."""
    code = 1
    try:
        out = os.open(order["out"], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(order["folder"])
        os.environ.update(order["environment"])
        for fault in order["faults"]:
            lay(fault)
        from dpdrun.commands import main

        sys.argv = ["dpdrun", *order["arguments"]]
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def end_of(pid: int) -> int:
    """Exit code of a process, negative for the signal that killed it; it is killed when it hangs."""
    deadline = time.monotonic() + WATCHDOG_S
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def serve() -> None:
    """Take orders from stdin, one a line, until it closes."""
    for module in PRELOADED:
        importlib.import_module(module)
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            answer = end_of(order["wait"])
        else:
            answer = os.fork()
            if answer == 0:
                work(order)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
