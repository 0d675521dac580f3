"""`dpdrun auto` is killed while it searches: the same command continues, and finished trials keep their weights."""

from __future__ import annotations

import json
import shlex
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.commands_run import LIMIT_S, ended, started

WORDS = shlex.split(
    "auto capture.npz --sample-rate-hz 1e6 --bandwidth-hz 4e5 --budget parameters=200 -o product --minutes 1000"
)
# The command with short trials, on two workers, which sends itself a signal when so many trials of a search are done.
# Nine trials in all; at most two end between two checks.
KILLED = """
import os, sys
from dpdrun.__main__ import main
from dpdrun.auto import job, ladder, recipes, search

ladder.PA_STEPS = recipes.PA_STEPS = 60
ladder.GRU_STEPS, ladder.PA_LENGTHS, ladder.REFINEMENTS = 4, 1, ((6, 5),)
recipes.RULES_STEPS = search.RULES_STEPS = (60,)
job.usable_cores = lambda: 2
place, done, number = sys.argv.pop(), int(sys.argv.pop()), int(sys.argv.pop())
run = search.Pool.run

def run_and_die(pool, watch):
    sent = False

    def watched():
        nonlocal sent
        watch()
        here = number and pool._folder.path.name.startswith(place)
        if here and not sent and pool._folder.journal.read().count("finished") >= done:
            sent = True
            os.kill(os.getpid(), number)

    run(pool, watched)

search.Pool.run = run_and_die
main()
"""


def auto(folder: Path, sent: int = 0, done: int = 0, place: str = "") -> tuple[int, str]:
    """Run the command; returns its exit code and what it wrote to stderr."""
    code, _, err = ended(started(sys.executable, "-c", KILLED, *WORDS, sent, done, place, cwd=folder))
    return code, err


def finished(folder: Path) -> dict[str, bytes]:
    """The weights of each finished trial."""
    models = folder.glob("product/search/*/trials/*/model.safetensors")
    return {str(path): path.read_bytes() for path in models if path.with_name("report.json").is_file()}


def wait_for_workers(folder: Path) -> None:
    """Return when the workers have ended, as they do when the command was killed."""
    limit, alive = time.monotonic() + LIMIT_S, list(folder.glob("product/search/*/workers/*.json"))
    while any(each.exists() for each in alive):
        assert time.monotonic() < limit
        time.sleep(0.1)


@pytest.mark.slow
def test_continues(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = 0.1 * np.convolve(rng.normal(size=3008) + 1j * rng.normal(size=3008), np.hanning(9), mode="valid")
    np.savez(tmp_path / "capture.npz", x=x, y=2.0 * x * (1 - 0.3 * np.abs(x) ** 2))

    done: dict[str, bytes] = {}
    for sent, trials, place, code in (
        (signal.SIGKILL, 1, "pa", -9), (signal.SIGINT, 1, "dpd", 130), (signal.SIGTERM, 3, "dpd", 75),
    ):  # fmt: skip
        exit_code, err = auto(tmp_path, sent, trials, place)
        assert exit_code == code, err
        assert sent == signal.SIGKILL or f"to continue it:\n  dpdrun {shlex.join(WORDS)}" in err
        wait_for_workers(tmp_path)
        before, done = done, finished(tmp_path)
        assert before.items() < done.items()

    exit_code, err = auto(tmp_path)
    assert exit_code == 0, err
    assert done.items() < finished(tmp_path).items()
    content = json.loads((tmp_path / "product" / "auto.json").read_text())
    assert {each["status"] for each in content["trials"]} == {"finished"}
    assert (tmp_path / "product" / content["exported"]["path"]).is_file()
