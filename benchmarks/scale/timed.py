"""The dpdrun command with a clock in place of its live view: `python -m benchmarks.scale.timed train recipe.yaml ...`.

Everything else is the command, its launcher too. At step STEPS the first process leaves in the file CLOCK when each
optimizer step was done (`time.time()`, [s]) and kills itself: what comes after training is not of interest here.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from dpdrun.commands import _training, main
from dpdrun.distributed import launcher
from dpdrun.training.telemetry import Silent


class Clock(Silent):
    """A monitor that notes the time of every step."""

    def __init__(self) -> None:
        self.steps: list[float] = []

    def step(self, line: dict[str, Any]) -> None:
        """One more."""
        self.steps.append(time.time())
        if line["step"] == int(os.environ["STEPS"]):
            Path(os.environ["CLOCK"]).write_text(json.dumps(self.steps))
            os.kill(os.getpid(), signal.SIGKILL)


def live_view(this: Any, console: Any) -> AbstractContextManager[Clock]:  # noqa: ARG001
    """In place of the live view."""
    return nullcontext(Clock())


if __name__ == "__main__":
    launcher.PROGRAM = (sys.executable, "-P", "-m", "benchmarks.scale.timed")
    _training.training_view = live_view
    main()
