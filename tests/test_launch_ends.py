"""How the launcher ends its processes when one of them has failed and another has not noticed."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from dpdrun.distributed import launcher
from dpdrun.distributed.launcher import Hosts

# Both are there before one of them fails; the first then computes alone, as before the first step or at the last score
PROCESS = """
import os, pathlib, signal, sys, time
here = pathlib.Path(os.environ["MEETING"])
rank = os.environ["RANK"]
if rank == "0" and "listens" in sys.argv:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
(here / rank).touch()
while len(list(here.iterdir())) < 2:
    time.sleep(0.01)
if rank == "1":
    os.kill(os.getpid(), signal.SIGKILL) if "killed" in sys.argv else sys.exit(3)
while True:
    time.sleep(0.01)
"""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("how", ["listens", "listens killed", "killed"])
def test_a_process_that_has_not_noticed_is_signalled(how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    popen = subprocess.Popen

    def process(command: Any, **more: Any) -> Any:
        return popen([sys.executable, "-c", PROCESS, *how.split()], **more)

    monkeypatch.setattr(launcher.subprocess, "Popen", process)
    monkeypatch.setattr(launcher, "NOTICE_S", 0.05)
    monkeypatch.setattr(launcher, "GRACE_S", 1000.0)
    monkeypatch.setenv("MEETING", str(tmp_path))
    assert launcher.launch(Hosts(processes=2), []) == 75
